"""The addresses that a server may listen on, with keys and without."""

from typing import Any

import pytest
from pydantic import SecretStr

from orpheus_server.server.uvicorn_config import check_address, server_url
from orpheus_server.settings import Settings


class TestAddress:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "LOCALHOST"])
    def test_this_machine_needs_no_keys(self, host: str) -> None:
        check_address(Settings(host=host))

    @pytest.mark.parametrize(
        "settings", [{"api_keys": SecretStr("abcdefgh")}, {"allow_unauthenticated": True}]
    )
    def test_a_public_address_needs_keys_or_permission(self, settings: dict[str, Any]) -> None:
        check_address(Settings(host="0.0.0.0", **settings))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("localhost", "http://localhost:8123"),
        ("::1", "http://[::1]:8123"),
    ],
)
def test_the_url_of_the_server(host: str, url: str) -> None:
    assert server_url(Settings(host=host, port=8123)) == url

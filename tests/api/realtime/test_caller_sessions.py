"""Limits the sessions of one caller."""

import pytest
from pydantic import SecretStr
from starlette.testclient import WebSocketDenialResponse

from orpheus_server.settings import Settings
from tests.support.app import FakeServer
from tests.support.realtime import PATH


class TestSessionLimit:
    def test_one_session_too_many_is_rejected_until_another_is_closed(self) -> None:
        server = FakeServer(settings=Settings(tts_max_sessions_per_key=2))
        with server.client() as client:
            with client.websocket_connect(PATH), client.websocket_connect("/audio/stream"):
                with (
                    pytest.raises(WebSocketDenialResponse) as denied,
                    client.websocket_connect(PATH),
                ):
                    pass
                assert (denied.value.status_code, denied.value.headers["retry-after"]) == (429, "5")
                assert denied.value.json()["error"] == {
                    "message": "You have 2 WebSocket sessions open, as many as one caller may "
                    "have; close one first.",
                    "type": "rate_limit_error",
                    "param": None,
                    "code": "rate_limit_exceeded",
                }
            with client.websocket_connect(PATH), client.websocket_connect(PATH):
                pass

    def test_each_key_has_its_own_limit(self) -> None:
        settings = Settings(api_keys=SecretStr("abcdefgh,ijklmnop"), tts_max_sessions_per_key=1)
        with FakeServer(settings=settings).client() as client:
            first, second = ({"authorization": f"Bearer {key}"} for key in ("abcdefgh", "ijklmnop"))
            with (
                client.websocket_connect(PATH, headers={**first}),
                client.websocket_connect(PATH, headers={**second}),
                pytest.raises(WebSocketDenialResponse),
                client.websocket_connect(PATH, headers={**first}),
            ):
                pass

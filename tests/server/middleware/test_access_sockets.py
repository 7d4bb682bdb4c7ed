"""Who may open a WebSocket: by its origin, and by a key in its subprotocols."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message

from tests.support.app import FakeServer, call_by_hand
from tests.support.keyed import (
    HEADER,
    KEY,
    ODD_KEY,
    STREAM,
    bearer64,
    keyed,
    refused,
)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with keyed().client() as client:
        yield client


class TestOrigin:
    @pytest.mark.parametrize("server", [keyed(), FakeServer()], ids=["keys", "no keys"])
    @pytest.mark.parametrize(
        "origin",
        [
            *("https://evil.example", "null", "", "http://127.0.0.1:81", "http://localhost"),
            *("app://obsidian.md", "file://", "app://127.0.0.1", "chrome-extension://127.0.0.1"),
        ],
    )
    def test_a_page_from_elsewhere_opens_no_socket(self, server: FakeServer, origin: str) -> None:
        """Browsers let any page open a WebSocket to any server: nothing but the server asks."""
        with (
            server.client() as client,
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(STREAM, headers={**HEADER, "origin": origin}),
        ):
            pass
        assert denied.value.status_code == 403
        error = denied.value.json()["error"]
        assert (error["type"], error["code"]) == ("permission_error", "origin_not_allowed")

    @pytest.mark.parametrize(
        "origin", ["http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:80"]
    )
    def test_a_page_from_here_does(self, origin: str) -> None:
        with (
            FakeServer().client() as client,
            client.websocket_connect(STREAM, headers={"origin": origin}),
        ):
            pass

    def test_and_one_that_is_listed(self) -> None:
        listed = ("https://a.example", "http://b.example:3000", "app://obsidian.md")
        with keyed(cors_origins=",".join(listed)).client() as client:
            for origin in listed:
                with client.websocket_connect(STREAM, headers={**HEADER, "origin": origin}):
                    pass
            for origin in ("http://a.example", "app://obsidian.md.evil", "tauri://obsidian.md"):
                with (
                    pytest.raises(WebSocketDenialResponse),
                    client.websocket_connect(STREAM, headers={**HEADER, "origin": origin}),
                ):
                    pass

    @pytest.mark.anyio
    async def test_two_origins_are_both_looked_at(self) -> None:
        pair = [(b"origin", b"http://127.0.0.1"), (b"origin", b"http://evil.example")]
        headers = [(b"host", b"127.0.0.1"), *pair]
        assert (await refused(FakeServer().build_app(), "WS", STREAM, headers))[0] == 403


class TestHandshake:
    @pytest.mark.parametrize(
        "offered",
        [
            ["orpheus", f"bearer.{KEY}"],
            [f"bearer.{KEY}", "other", "orpheus"],
            ["orpheus", bearer64(KEY)],
            ["orpheus", bearer64(ODD_KEY)],
        ],
    )
    def test_a_key_as_a_subprotocol(self, client: TestClient, offered: list[str]) -> None:
        with client.websocket_connect(STREAM, subprotocols=offered) as socket:
            assert socket.accepted_subprotocol == "orpheus"

    @pytest.mark.parametrize(
        "offered",
        [
            ["orpheus"],
            ["orpheus", KEY],
            ["orpheus", "bearer."],
            ["orpheus", "bearer"],
            ["orpheus", "bearer.wrong-key"],
            ["orpheus", f"Bearer.{KEY}"],
            ["orpheus", "bearer64.***"],
            ["orpheus", "bearer64._w"],
            ["orpheus", f"bearer64.{KEY}"],
            ["orpheus", f"bearer.{KEY}", f"bearer.{KEY}"],
            ["orpheus", f"bearer.{KEY}", "bearer64.***"],
        ],
    )
    def test_what_is_none(self, client: TestClient, offered: list[str]) -> None:
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(STREAM, subprotocols=offered),
        ):
            pass
        assert denied.value.status_code == 401
        assert denied.value.json()["error"]["code"] == "invalid_api_key"
        assert "sec-websocket-protocol" not in denied.value.headers

    def test_the_header_goes_first(self, client: TestClient) -> None:
        offered = ["orpheus", f"bearer.{KEY}"]
        with (
            pytest.raises(WebSocketDenialResponse),
            client.websocket_connect(
                STREAM, subprotocols=offered, headers={"authorization": "Bearer wrong"}
            ),
        ):
            pass

    def test_a_subprotocol_is_no_key_for_http(self, client: TestClient) -> None:
        headers = {"sec-websocket-protocol": f"orpheus, bearer.{KEY}"}
        assert client.get("/docs", headers=headers).status_code == 401

    @pytest.mark.anyio
    async def test_a_server_that_cannot_answer_it_closes(self) -> None:
        sent = await call_by_hand(
            keyed().build_app(),
            asyncio.Queue[Message](),
            **{"type": "websocket", "path": STREAM, "subprotocols": [], "headers": []},
        )
        assert sent == [{"type": "websocket.close", "code": 1008}]

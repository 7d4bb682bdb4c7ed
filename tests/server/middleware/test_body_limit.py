"""Bodies that are too large or do not arrive in time are rejected."""

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message

from orpheus_server.app import max_body_bytes
from orpheus_server.settings import Settings
from tests.support.app import (
    REQUEST_ID,
    WAIT_LIMIT_SEC,
    FakeServer,
    call_by_hand,
    held_script,
    short_script,
)


@pytest.mark.anyio
class TestBodyLimit:
    async def test_a_declared_size_is_rejected_without_reading(self, server: FakeServer) -> None:
        messages = asyncio.Queue[Message]()
        app = server.build_app()
        for length in (b"52428800", b"9" * 5000, b"0000052428800"):
            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            sent = await call_by_hand(app, messages, headers=headers)
            check_too_large(sent)

    async def test_a_counted_size_is_rejected_at_the_limit(self, server: FakeServer) -> None:
        """A chunked body declares no length; FastAPI would read and keep all of it."""
        limit = max_body_bytes(server.settings)
        assert limit == (1 << 20) + 12 * 32_768
        messages = asyncio.Queue[Message]()
        chunk: Message = {"type": "http.request", "body": b" " * 65_536, "more_body": True}
        for _ in range(800):
            messages.put_nowait(chunk)
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            check_too_large(await call_by_hand(app, messages))
        assert 800 - messages.qsize() == limit // 65_536 + 1

    async def test_a_late_body_is_rejected(self) -> None:
        """Neither uvicorn nor FastAPI has a timeout; receiving a part must not extend ours."""
        server = FakeServer(settings=Settings(tts_receive_timeout_sec=0.1))
        app = server.build_app()
        for parts in ([], [b'{"input"', b': "Hello'], [b""] * 50):
            messages = asyncio.Queue[Message]()
            for part in parts:
                messages.put_nowait({"type": "http.request", "body": part, "more_body": True})
            async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
                check_rejected(await call_by_hand(app, messages), 408, "request_timeout")
        assert server.engine.requests == []

    async def test_the_timeout_ends_with_the_body(self) -> None:
        """After the body, the app waits only for a disconnect."""
        server = FakeServer(settings=Settings(tts_receive_timeout_sec=0.1))
        gate = asyncio.Event()
        server.engine.enqueue(held_script(short_script(5), gate))
        messages = asyncio.Queue[Message]()
        body = b'{"input": "Hello.", "stream": false}'
        messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
        app = server.build_app()
        async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
            asyncio.get_running_loop().call_later(0.3, gate.set)
            sent = await call_by_hand(app, messages)
        assert sent[0]["status"] == 200

    async def test_without_a_limit_of_characters_bytes_are_limited(self) -> None:
        assert max_body_bytes(Settings(tts_max_input_chars=0)) == 64 << 20


def check_too_large(sent: list[Message]) -> None:
    check_rejected(sent, 413, "request_too_large")


def check_rejected(sent: list[Message], status: int, code: str) -> None:
    headers: dict[bytes, bytes] = dict(sent[0]["headers"])
    assert sent[0]["status"] == status
    assert headers[b"connection"] == b"close"
    assert REQUEST_ID.fullmatch(headers[b"x-request-id"].decode())
    error: dict[str, Any] = json.loads(sent[1]["body"])["error"]
    assert error["code"] == code

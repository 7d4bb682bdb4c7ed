"""Bodies that are too large or do not arrive are refused before they are read."""

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
    async def test_declared_is_refused_unread(self, server: FakeServer) -> None:
        messages = asyncio.Queue[Message]()
        app = server.build_app()
        for length in (b"52428800", b"9" * 5000, b"0000052428800"):
            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            sent = await call_by_hand(app, messages, headers=headers)
            check_too_large(sent)

    async def test_counted_is_refused_at_the_limit(self, server: FakeServer) -> None:
        """A chunked body has no length; elsewhere it is read to its end, and kept."""
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

    async def test_a_late_one_is_refused(self) -> None:
        """Neither uvicorn nor FastAPI ends the wait; a part of it is no reason to wait longer."""
        server = FakeServer(settings=Settings(tts_receive_timeout_sec=0.1))
        app = server.build_app()
        for parts in ([], [b'{"input"', b': "Hello'], [b""] * 50):
            messages = asyncio.Queue[Message]()
            for part in parts:
                messages.put_nowait({"type": "http.request", "body": part, "more_body": True})
            async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
                check_refused(await call_by_hand(app, messages), 408, "request_timeout")
        assert server.engine.requests == []

    async def test_a_whole_one_has_all_the_time(self) -> None:
        """What is waited for then is the caller's leaving."""
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

    async def test_no_limit_of_characters_is_still_one_of_bytes(self) -> None:
        assert max_body_bytes(Settings(tts_max_input_chars=0)) == 64 << 20


def check_too_large(sent: list[Message]) -> None:
    check_refused(sent, 413, "request_too_large")


def check_refused(sent: list[Message], status: int, code: str) -> None:
    headers: dict[bytes, bytes] = dict(sent[0]["headers"])
    assert sent[0]["status"] == status
    assert headers[b"connection"] == b"close"
    assert REQUEST_ID.fullmatch(headers[b"x-request-id"].decode())
    error: dict[str, Any] = json.loads(sent[1]["body"])["error"]
    assert error["code"] == code

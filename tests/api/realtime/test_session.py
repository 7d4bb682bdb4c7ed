"""A session whose caller is gone; what it does for one who is there is in test_protocol.py."""

import asyncio
import json

import pytest
from starlette.types import Message

from tests.fuzz.examples import errors_in
from tests.support.app import FakeServer, other_tasks

pytestmark = pytest.mark.anyio


async def test_both_who_send_find_the_caller_gone(caplog: pytest.LogCaptureFixture) -> None:
    """The speaker was told that nobody is there, and what the reader sent meanwhile was taken for a
    bug of ours: a caller who hung up left a traceback in the log."""
    server = FakeServer()
    app = server.build_app()
    messages: asyncio.Queue[Message] = asyncio.Queue()

    def come(**event: object) -> None:
        messages.put_nowait({"type": "websocket.receive", "text": json.dumps(event)})

    async def send(message: Message) -> None:
        if "audio.start" in message.get("text", ""):
            # Out of order, so that it is answered at once, while the speaker still ends its work.
            come(type="session.start")
            raise OSError

    before = other_tasks()
    messages.put_nowait({"type": "websocket.connect"})
    come(type="session.start")
    come(type="text.delta", text="Hello there, my friend.")
    come(type="text.done")
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": "/v1/audio/stream",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "extensions": {},
    }
    async with server.open_runtime(server.settings) as runtime:
        app.state.runtime = runtime
        await app(scope, messages.get, send)
        assert server.engine.num_active == 0
        assert other_tasks() == before
    assert errors_in(caplog) == []

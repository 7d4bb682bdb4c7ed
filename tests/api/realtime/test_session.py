"""A client that disconnects while two tasks are sending; test_protocol.py covers the rest."""

import asyncio
import json

import pytest
from starlette.types import Message

from tests.fuzz.examples import errors_in
from tests.support.app import FakeServer, other_tasks
from tests.support.socket_harness import SESSION_SCOPE

pytestmark = pytest.mark.anyio


async def test_both_sending_tasks_notice_the_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    """Regression: only the speaking task got the disconnect, and the error of the reading task was
    logged with a traceback, as if it were a bug."""
    server = FakeServer()
    app = server.build_app()
    messages: asyncio.Queue[Message] = asyncio.Queue()

    def receive(**event: object) -> None:
        messages.put_nowait({"type": "websocket.receive", "text": json.dumps(event)})

    async def send(message: Message) -> None:
        if "audio.start" in message.get("text", ""):
            # Out of order, so the reading task sends an error while the speaking task is ending.
            receive(type="session.start")
            raise OSError

    before = other_tasks()
    messages.put_nowait({"type": "websocket.connect"})
    receive(type="session.start")
    receive(type="text.delta", text="Hello there, my friend.")
    receive(type="text.done")
    async with server.open_runtime(server.settings) as runtime:
        app.state.runtime = runtime
        await app({**SESSION_SCOPE}, messages.get, send)
        assert server.engine.num_active == 0
        assert other_tasks() == before
    assert errors_in(caplog) == []

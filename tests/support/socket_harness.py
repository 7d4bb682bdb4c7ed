"""WebSocket sessions over ASGI on the test's event loop, with its gates and clock."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from orpheus_server.api.realtime.pacing import Pacer
from orpheus_server.fakes import ReplyScript, ScriptedChatModel, ScriptedEngine
from orpheus_server.interfaces import ReplyRequest
from orpheus_server.runtime.metrics import Metrics
from orpheus_server.runtime.state import Runtime
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, VirtualClock, other_tasks, wait_for

Received = dict[str, Any] | bytes

SESSION_SCOPE = {
    "type": "websocket",
    "asgi": {"version": "3.0"},
    "path": "/v1/audio/stream",
    "query_string": b"",
    "headers": [],
    "client": ("127.0.0.1", 1),
    "extensions": {},
}


@dataclass
class SocketClient:
    """The client side of a session; receives all messages."""

    app: ASGIApp
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    arrived: asyncio.Queue[Received] = field(default_factory=asyncio.Queue)
    code: int | None = None

    def __post_init__(self) -> None:
        self.messages.put_nowait({"type": "websocket.connect"})

    async def run(self) -> None:
        await self.app({**SESSION_SCOPE}, self.messages.get, self._take)

    async def _take(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self.code = message["code"]
        if message["type"] == "websocket.send":
            data = message.get("bytes")
            self.arrived.put_nowait(json.loads(message["text"]) if data is None else data)

    def say(self, type_: str, **fields: Any) -> None:
        text = json.dumps({"type": type_, **fields})
        self.messages.put_nowait({"type": "websocket.receive", "text": text})

    def ask(self, text: str, **fields: Any) -> None:
        self.say("chat.message", text=text, **fields)

    def leave(self) -> None:
        self.messages.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def until(self, *types: str) -> list[Received]:
        """Returns messages up to the first event of these types, joining adjacent binary ones."""
        received: list[Received] = []
        while True:
            async with asyncio.timeout(WAIT_LIMIT_SEC):
                message = await self.arrived.get()
            if isinstance(message, bytes) and received and isinstance(received[-1], bytes):
                received[-1] += message
                continue
            received.append(message)
            if isinstance(message, dict) and message["type"] in types:
                return received

    async def audio(self, num_bytes: int) -> int:
        """Receives audio until it has at least `num_bytes`; returns the number received."""
        num_taken = 0
        while num_taken < num_bytes:
            async with asyncio.timeout(WAIT_LIMIT_SEC):
                message = await self.arrived.get()
            assert isinstance(message, bytes)
            num_taken += len(message)
        return num_taken


@dataclass
class SocketHarness:
    """A running app over the fakes with one started session."""

    server: FakeServer
    chat: ScriptedChatModel
    caller: SocketClient
    clock: VirtualClock

    @property
    def engine(self) -> ScriptedEngine:
        return self.server.engine

    @property
    def runtime(self) -> Runtime:
        return self.server.runtime

    @property
    def num_active(self) -> int:
        """Generations in both engines."""
        return self.engine.num_active + self.chat.num_active

    def requested(self, index: int = -1) -> list[tuple[str, str]]:
        """Returns the messages of a request to the model, without the built-in system prompt."""
        return said_in(self.chat.requests[index])[1:]


def said_in(request: ReplyRequest) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in request.messages]


def events_of(received: list[Received], *starts: str) -> list[dict[str, Any]]:
    """Returns the events whose types start with one of `starts`."""
    events = [each for each in received if isinstance(each, dict)]
    return [each for each in events if each["type"].startswith(starts)]


def written(received: list[Received]) -> str:
    """Returns the transcript that the client received."""
    return "".join(each["text"] for each in events_of(received, "transcript.delta"))


def counts_of(metrics: Metrics) -> dict[str, int]:
    """How many utterances of sessions ended in each way, and how many callers left."""
    counts: dict[str, int] = {}
    for line in metrics.render().decode().splitlines():
        found = re.match(
            r'orpheus_(?:utterances_total\{outcome="(\w+)",|(disconnects)_total\{)'
            r'route="/v1/audio/stream"\} (\d+)',
            line,
        )
        if found:
            counts[found[1] or found[2]] = int(found[3])
    return counts


async def never_sleep(duration_sec: float) -> None:
    raise AssertionError("audio this short is never sent too early")


@asynccontextmanager
async def open_socket(
    monkeypatch: pytest.MonkeyPatch,
    *scripts: ReplyScript,
    settings: Settings | None = None,
    **options: Any,
) -> AsyncIterator[SocketHarness]:
    """Opens a session with `options`; `scripts` are the first replies, followed by "Yes.".

    Pacing uses a clock that only the test advances. Asserts afterwards that both engines are idle
    and no task is left.
    """
    clock = VirtualClock()
    pacer = partial(Pacer, clock=clock, sleep=never_sleep)
    monkeypatch.setattr("orpheus_server.api.realtime.sent_audio.Pacer", pacer)
    chat = ScriptedChatModel(ReplyScript(("Yes.",)))
    chat.enqueue(*scripts)
    server = FakeServer(settings=settings or Settings(), chat=chat)
    app = server.build_app()
    async with server.open_runtime(server.settings) as runtime:
        app.state.runtime = runtime
        before = other_tasks()
        caller = SocketClient(app)
        running = asyncio.create_task(caller.run())
        caller.say("session.start", **options)
        (started,) = await caller.until("session.started", "error")
        assert isinstance(started, dict)
        assert started["type"] == "session.started", started
        harness = SocketHarness(server, chat, caller, clock)
        try:
            yield harness
        finally:
            caller.leave()
            await running
        assert harness.num_active == 0
        admission = runtime.admission
        assert (admission.num_running, admission.num_waiting) == (0, 0)
        await wait_for(lambda: other_tasks() <= before)

"""ASGI requests to a running app over the fakes, observed while the response is sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orpheus_server.fakes import Script
from orpheus_server.interfaces import ChatModel
from orpheus_server.settings import Settings
from tests.support.app import POCKET, WAIT_LIMIT_SEC, FakeServer, call_by_hand, speech_ids

# One chunk of 30 frames.
SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."


@dataclass
class Call:
    """An ASGI request whose response can be observed while it is sent.

    The client reads while `reads` is set.
    """

    app: ASGIApp
    fields: dict[str, Any]
    sent: list[Message] = field(default_factory=list)
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    http_version: str = "1.1"
    path: str = "/v1/audio/speech"

    async def run(self, *, method: str = "POST", body: bytes | None = None) -> None:
        """Sends the fields as JSON, or `body` as it is."""
        self.reads.set()
        if body is None:
            body = json.dumps({"response_format": "pcm", **self.fields}).encode()
        self.messages.put_nowait({"type": "http.request", "body": body})
        await call_by_hand(
            self._watched,
            self.messages,
            http_version=self.http_version,
            path=self.path,
            method=method,
        )

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            self.sent.append(message)
            await self.reads.wait()

        await self.app(scope, receive, note)

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    @property
    def body(self) -> bytes:
        """The part of the body that was sent so far."""
        return b"".join(each["body"] for each in self.sent[1:])

    @property
    def is_whole(self) -> bool:
        """Whether the body is complete."""
        return not self.sent[-1].get("more_body", False)


@dataclass
class AppHarness:
    """A running app over the fakes."""

    server: FakeServer
    app: ASGIApp

    def begin(self, **fields: Any) -> tuple[Call, asyncio.Task[None]]:
        call = Call(self.app, {"input": SENTENCE, **fields})
        return call, asyncio.create_task(call.run())


@asynccontextmanager
async def open_harness(
    settings: Settings | None = None, *, is_loaded: bool = True, chat: ChatModel | None = None
) -> AsyncIterator[AppHarness]:
    """Runs the app; asserts afterwards that the engine is idle and no task is left."""
    server = FakeServer(settings=settings or Settings(), is_loaded=is_loaded, chat=chat)
    app = server.build_app()
    async with app.router.lifespan_context(app), asyncio.timeout(WAIT_LIMIT_SEC):
        before = asyncio.all_tasks()
        yield AppHarness(server, app)
        assert server.engine.num_active == 0
        assert asyncio.all_tasks() == before


def whole_script() -> Script:
    """Returns the generation of `SENTENCE`."""
    return Script((*speech_ids(30), POCKET.layout.stop_token_ids[0]))

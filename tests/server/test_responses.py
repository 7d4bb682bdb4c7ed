"""Responses as a server sends them, and work that ends when its caller leaves."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import Message, Scope

from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import EngineDead
from orpheus_server.server.responses import (
    BufferedResponse,
    Outcome,
    StreamedResponse,
    respond,
    sse_event,
    until_disconnect,
)
from tests.support.app import wait_for

pytestmark = pytest.mark.anyio


class Work:
    """Runs until it is told to end; knows how it ended."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.is_running = False
        self.was_cancelled = False

    async def run(self) -> str:
        self.is_running = True
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            # Closing takes a moment, and is waited for.
            await asyncio.sleep(0)
            self.was_cancelled = True
            raise
        finally:
            self.is_running = False
        return "done"


async def silence() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nothing ever comes")


async def test_the_result() -> None:
    work = Work()
    work.may_end.set()
    before = asyncio.all_tasks()
    assert await until_disconnect(silence, work.run()) == "done"
    assert asyncio.all_tasks() == before


async def test_the_caller_leaves() -> None:
    work = Work()
    messages = asyncio.Queue[Message]()
    before = asyncio.all_tasks()
    call = asyncio.create_task(until_disconnect(messages.get, work.run()))
    await wait_for(lambda: work.is_running)
    # The rest of a body is no reason to stop.
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await wait_for(messages.empty)
    assert not call.done()
    messages.put_nowait({"type": "http.disconnect"})
    assert await call is None
    assert work.was_cancelled
    assert asyncio.all_tasks() == before


async def test_done_and_gone_at_once_is_done() -> None:
    work = Work()
    work.may_end.set()
    messages = asyncio.Queue[Message]()
    messages.put_nowait({"type": "http.disconnect"})
    assert await until_disconnect(messages.get, work.run()) == "done"


async def test_a_failure_is_the_works_own() -> None:
    async def fail() -> None:
        raise EngineDead("the engine has died")

    before = asyncio.all_tasks()
    with pytest.raises(EngineDead, match="the engine has died"):
        await until_disconnect(silence, fail())
    assert asyncio.all_tasks() == before


async def test_cancelled_with_its_work() -> None:
    work = Work()
    before = asyncio.all_tasks()
    call = asyncio.create_task(until_disconnect(silence, work.run()))
    await wait_for(lambda: work.is_running)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert work.was_cancelled
    assert asyncio.all_tasks() == before


SCOPE: Scope = {"type": "http"}


@dataclass
class Source:
    """Bytes of an answer, each when it is asked for; knows whether it was closed."""

    parts: list[bytes | Exception]
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    num_taken: int = 0
    is_closed: bool = False

    async def run(self) -> AsyncGenerator[bytes, None]:
        try:
            for part in self.parts:
                await self.gate.wait()
                if isinstance(part, Exception):
                    raise part
                self.num_taken += 1
                yield part
        finally:
            self.is_closed = True


@dataclass
class Exchange:
    """One answer on its way to a caller, who reads as long as `reads` is set."""

    source: Source
    sent: list[Message] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        self.response = StreamedResponse(
            b"first",
            self.source.run(),
            media_type="audio/pcm",
            headers={"x-own": "1"},
            on_end=self.outcomes.append,
        )
        await self.response(SCOPE, self.messages.get, self.send)

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        self.sent.append(message)

    @property
    def bodies(self) -> list[tuple[bytes, bool]]:
        return [(each["body"], each["more_body"]) for each in self.sent[1:]]


def exchange(*parts: bytes | Exception) -> Exchange:
    """One whose caller reads and whose bytes are there."""
    made = Exchange(Source(list(parts)))
    made.source.gate.set()
    made.reads.set()
    return made


async def test_first_rest_and_end() -> None:
    made = exchange(b"second", b"third")
    before = asyncio.all_tasks()
    await made.run()
    assert made.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            (b"x-own", b"1"),
            (b"content-type", b"audio/pcm"),
        ],
    }
    assert made.bodies == [(b"first", True), (b"second", True), (b"third", True), (b"", False)]
    assert made.outcomes == ["done"]
    assert made.source.is_closed
    assert asyncio.all_tasks() == before


async def test_the_first_bytes_wait_for_nothing() -> None:
    made = exchange(b"second")
    made.source.gate.clear()
    call = asyncio.create_task(made.run())
    await wait_for(lambda: made.bodies == [(b"first", True)])
    made.source.gate.set()
    await call
    assert made.bodies == [(b"first", True), (b"second", True), (b"", False)]


async def test_nothing_after_the_first() -> None:
    made = exchange()
    await made.run()
    assert made.bodies == [(b"first", True), (b"", False)]


async def test_a_failure_leaves_the_body_unfinished() -> None:
    """A rival ends the body as if it were whole: half a sentence that nobody knows to be one."""
    made = exchange(b"second", EngineDead("the engine has died"))
    await made.run()
    assert made.bodies == [(b"first", True), (b"second", True)]
    assert made.outcomes == ["failed"]
    assert made.source.is_closed


async def test_a_bug_is_a_failure_and_reaches_the_server() -> None:
    """It was logged as a caller who had left."""
    made = exchange(b"second", ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await made.run()
    assert made.bodies == [(b"first", True), (b"second", True)]
    assert made.outcomes == ["failed"]
    assert made.source.is_closed


async def test_the_caller_leaves_while_it_is_made() -> None:
    made = exchange(b"second")
    made.source.gate.clear()
    before = asyncio.all_tasks()
    call = asyncio.create_task(made.run())
    await wait_for(lambda: len(made.sent) == 2)
    made.messages.put_nowait({"type": "http.disconnect"})
    await call
    assert made.bodies == [(b"first", True)]
    assert (made.outcomes, made.source.is_closed) == (["caller left"], True)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("num_read", [0, 1, 2, 3])
async def test_a_caller_who_stops_reading_is_not_made_more_for(num_read: int) -> None:
    """And it is the open generator that must be closed when such a caller leaves."""
    made = exchange(*[b"more"] * 100)

    async def send(message: Message) -> None:
        made.sent.append(message)
        if len(made.sent) > num_read:
            await asyncio.Event().wait()

    made.send = send  # type: ignore[method-assign]
    call = asyncio.create_task(made.run())
    await wait_for(lambda: len(made.sent) == num_read + 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert made.source.num_taken == max(0, num_read - 1)
    made.messages.put_nowait({"type": "http.disconnect"})
    await call
    assert made.outcomes == ["caller left"]
    # A generator that has not begun has nothing to close.
    assert made.source.is_closed is (num_read >= 2)


async def test_the_server_cancels() -> None:
    made = exchange(b"second")
    made.source.gate.clear()
    before = asyncio.all_tasks()
    call = asyncio.create_task(made.run())
    await wait_for(lambda: len(made.sent) == 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (made.outcomes, made.source.is_closed) == (["failed"], True)
    assert asyncio.all_tasks() == before


async def send_whole(size: int, *, leaves: bool = False) -> tuple[list[Message], list[Outcome]]:
    sent: list[Message] = []
    outcomes: list[Outcome] = []
    messages: asyncio.Queue[Message] = asyncio.Queue()
    response = BufferedResponse(
        bytes(size), media_type="audio/wav", headers={"x-own": "1"}, on_end=outcomes.append
    )

    async def send(message: Message) -> None:
        sent.append(message)
        if leaves and len(sent) == 2:
            messages.put_nowait({"type": "http.disconnect"})
            await asyncio.Event().wait()

    await response(SCOPE, messages.get, send)
    return sent, outcomes


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 200_000])
async def test_a_file_goes_in_slices(size: int) -> None:
    sent, outcomes = await send_whole(size)
    assert (b"content-length", str(size).encode()) in sent[0]["headers"]
    assert b"".join(each["body"] for each in sent[1:]) == bytes(size)
    assert all(len(each["body"]) <= 65_536 for each in sent[1:])
    assert [each["more_body"] for each in sent[1:]] == [True] * (len(sent) - 2) + [False]
    assert outcomes == ["done"]


async def test_a_file_that_nobody_fetches_is_let_go() -> None:
    _, outcomes = await send_whole(200_000, leaves=True)
    assert outcomes == ["caller left"]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_caller_who_is_cut_off_has_not_got_all_of_it(is_whole: bool) -> None:
    """The rest of the answer went nowhere at once, and it was counted as done."""
    sent: list[Message] = []
    outcomes: list[Outcome] = []
    messages: asyncio.Queue[Message] = asyncio.Queue()
    source = Source([bytes(100)] * 100)
    source.gate.set()
    response: Response
    if is_whole:
        response = BufferedResponse(
            bytes(4_000_000), media_type="audio/wav", headers={}, on_end=outcomes.append
        )
    else:
        response = StreamedResponse(
            b"first", source.run(), media_type="text/plain", headers={}, on_end=outcomes.append
        )

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 2:
            messages.put_nowait({"type": "http.disconnect"})

    await response(SCOPE, messages.get, send)
    assert outcomes == ["caller left"]
    assert sent[-1]["more_body"]


class Content(BaseModel):
    text: str
    more: str | None = None


class TestEvent:
    def test_one_line_of_json(self) -> None:
        event = sse_event(Content(text="a\nb", more="c"))
        assert event == b'data: {"text":"a\\nb","more":"c"}\n\n'

    def test_unset_fields_are_left_out(self) -> None:
        assert sse_event(Content(text="a"), exclude_unset=True) == b'data: {"text":"a"}\n\n'

    @pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\x1c", "\u00e9"])
    def test_no_character_ends_the_line(self, char: str) -> None:
        """The library splits data at all that Python takes for the end of a line."""
        event = sse_event(Content(text=f"a{char}b"))
        line, _, end = event.partition(b"\n")
        assert end == b"\n"
        assert json.loads(line.removeprefix(b"data: "))["text"] == f"a{char}b"


@dataclass
class Handler:
    """A handler that responds in one piece, or in several."""

    parts: list[bytes | Exception]
    is_streamed: bool
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    outcomes: list[Outcome] = field(default_factory=list)
    is_closed: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            await self.gate.wait()
            for part in self.parts:
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self.is_closed = True

    async def _whole(self) -> bytes:
        return b"".join([part async for part in self._pieces()])

    async def run(self) -> Response:
        return await respond(
            Request({"type": "http"}, self.messages.get),
            whole=self._whole,
            pieces=self._pieces() if self.is_streamed else None,
            media_type="audio/pcm",
            headers=lambda: {"x-is-made": str(self.gate.is_set())},
            on_end=self.outcomes.append,
        )


def handler(*parts: bytes | Exception, is_streamed: bool) -> Handler:
    """One whose bytes are there."""
    made = Handler(list(parts), is_streamed)
    made.gate.set()
    return made


class TestRespond:
    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_bytes(self, is_streamed: bool) -> None:
        made = handler(b"one", b"two", is_streamed=is_streamed)
        response = await made.run()
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        assert made.outcomes == []
        await response(SCOPE, made.messages.get, send)
        assert sent[0]["status"] == 200
        headers = dict(sent[0]["headers"])
        assert (headers[b"x-is-made"], headers[b"content-type"]) == (b"True", b"audio/pcm")
        assert (b"content-length" in headers) is not is_streamed
        bodies = [message["body"] for message in sent[1:]]
        assert bodies == ([b"one", b"two", b""] if is_streamed else [b"onetwo", b""])
        assert made.outcomes == ["done"]
        assert made.is_closed

    async def test_an_empty_stream(self) -> None:
        response = await handler(is_streamed=True).run()
        assert response.status_code == 200

    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_failure_before_the_first_bytes(self, is_streamed: bool) -> None:
        made = handler(EngineDead("gone"), is_streamed=is_streamed)
        with pytest.raises(EngineDead, match="gone"):
            await made.run()
        assert made.outcomes == ["failed"]
        assert made.is_closed

    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_client_that_leaves_before_the_first_bytes(self, is_streamed: bool) -> None:
        made = Handler([b"one"], is_streamed)
        made.messages.put_nowait({"type": "http.disconnect"})
        response = await made.run()
        assert (response.status_code, response.body) == (499, b"")
        assert made.outcomes == ["caller left"]

    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_handler_that_is_cancelled(self, is_streamed: bool) -> None:
        made = Handler([b"one"], is_streamed)
        task = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        await cancel_all([task])
        assert made.outcomes == ["failed"]

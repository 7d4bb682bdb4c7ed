"""Responses as a server sends them, and work that is cancelled when the client disconnects."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import Message, Scope

from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import EngineDead, OrpheusError
from orpheus_server.server.responses import (
    BufferedResponse,
    Outcome,
    StreamedResponse,
    respond,
    sse_event,
    until_disconnect,
    with_error_event,
)
from tests.support.app import wait_for

pytestmark = pytest.mark.anyio


class Work:
    """Runs until `may_end` is set, and records whether it was cancelled."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.is_running = False
        self.was_cancelled = False

    async def run(self) -> str:
        self.is_running = True
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            # Cleaning up takes a moment, and the caller must wait for it.
            await asyncio.sleep(0)
            self.was_cancelled = True
            raise
        finally:
            self.is_running = False
        return "done"


async def receive_nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("no message ever arrives")


async def test_the_result_of_the_work_is_returned() -> None:
    work = Work()
    work.may_end.set()
    before = asyncio.all_tasks()
    assert await until_disconnect(receive_nothing, work.run()) == "done"
    assert asyncio.all_tasks() == before


async def test_the_work_is_cancelled_when_the_client_disconnects() -> None:
    work = Work()
    messages = asyncio.Queue[Message]()
    before = asyncio.all_tasks()
    call = asyncio.create_task(until_disconnect(messages.get, work.run()))
    await wait_for(lambda: work.is_running)
    # The rest of a body is not a disconnect.
    messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await wait_for(messages.empty)
    assert not call.done()
    messages.put_nowait({"type": "http.disconnect"})
    assert await call is None
    assert work.was_cancelled
    assert asyncio.all_tasks() == before


async def test_finished_work_counts_even_if_the_client_has_left() -> None:
    work = Work()
    work.may_end.set()
    messages = asyncio.Queue[Message]()
    messages.put_nowait({"type": "http.disconnect"})
    assert await until_disconnect(messages.get, work.run()) == "done"


async def test_an_exception_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise EngineDead("the engine has died")

    before = asyncio.all_tasks()
    with pytest.raises(EngineDead, match="the engine has died"):
        await until_disconnect(receive_nothing, fail())
    assert asyncio.all_tasks() == before


async def test_cancelling_the_call_cancels_the_work() -> None:
    work = Work()
    before = asyncio.all_tasks()
    call = asyncio.create_task(until_disconnect(receive_nothing, work.run()))
    await wait_for(lambda: work.is_running)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert work.was_cancelled
    assert asyncio.all_tasks() == before


SCOPE: Scope = {"type": "http"}


@dataclass
class Source:
    """A generator of a response's bytes that counts them and records whether it was closed."""

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
    """A streamed response, and a client that reads as long as `reads` is set."""

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


def ready_exchange(*parts: bytes | Exception) -> Exchange:
    """Returns an exchange whose client reads and whose bytes are ready."""
    exchange = Exchange(Source(list(parts)))
    exchange.source.gate.set()
    exchange.reads.set()
    return exchange


async def test_first_rest_and_end() -> None:
    exchange = ready_exchange(b"second", b"third")
    before = asyncio.all_tasks()
    await exchange.run()
    assert exchange.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            (b"x-own", b"1"),
            (b"content-type", b"audio/pcm"),
        ],
    }
    assert exchange.bodies == [(b"first", True), (b"second", True), (b"third", True), (b"", False)]
    assert exchange.outcomes == ["done"]
    assert exchange.source.is_closed
    assert asyncio.all_tasks() == before


async def test_the_first_bytes_are_sent_before_the_rest_is_ready() -> None:
    exchange = ready_exchange(b"second")
    exchange.source.gate.clear()
    call = asyncio.create_task(exchange.run())
    await wait_for(lambda: exchange.bodies == [(b"first", True)])
    exchange.source.gate.set()
    await call
    assert exchange.bodies == [(b"first", True), (b"second", True), (b"", False)]


async def test_a_stream_of_the_first_bytes_only() -> None:
    exchange = ready_exchange()
    await exchange.run()
    assert exchange.bodies == [(b"first", True), (b"", False)]


async def test_a_failure_leaves_the_body_unfinished() -> None:
    """A body that ended normally would pass half a sentence off as the whole one."""
    exchange = ready_exchange(b"second", EngineDead("the engine has died"))
    await exchange.run()
    assert exchange.bodies == [(b"first", True), (b"second", True)]
    assert exchange.outcomes == ["failed"]
    assert exchange.source.is_closed


async def test_an_unexpected_exception_is_a_failure_and_is_raised() -> None:
    """It was logged as a client that had disconnected."""
    exchange = ready_exchange(b"second", ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await exchange.run()
    assert exchange.bodies == [(b"first", True), (b"second", True)]
    assert exchange.outcomes == ["failed"]
    assert exchange.source.is_closed


async def test_the_client_disconnects_during_generation() -> None:
    exchange = ready_exchange(b"second")
    exchange.source.gate.clear()
    before = asyncio.all_tasks()
    call = asyncio.create_task(exchange.run())
    await wait_for(lambda: len(exchange.sent) == 2)
    exchange.messages.put_nowait({"type": "http.disconnect"})
    await call
    assert exchange.bodies == [(b"first", True)]
    assert (exchange.outcomes, exchange.source.is_closed) == (["caller left"], True)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("num_read", [0, 1, 2, 3])
async def test_no_more_is_generated_for_a_client_that_stops_reading(num_read: int) -> None:
    """When that client disconnects, the open generator must be closed."""
    exchange = ready_exchange(*[b"more"] * 100)

    async def send(message: Message) -> None:
        exchange.sent.append(message)
        if len(exchange.sent) > num_read:
            await asyncio.Event().wait()

    exchange.send = send  # type: ignore[method-assign]
    call = asyncio.create_task(exchange.run())
    await wait_for(lambda: len(exchange.sent) == num_read + 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert exchange.source.num_taken == max(0, num_read - 1)
    exchange.messages.put_nowait({"type": "http.disconnect"})
    await call
    assert exchange.outcomes == ["caller left"]
    # A generator that has not started has nothing to close.
    assert exchange.source.is_closed is (num_read >= 2)


async def test_the_server_cancels_the_response() -> None:
    exchange = ready_exchange(b"second")
    exchange.source.gate.clear()
    before = asyncio.all_tasks()
    call = asyncio.create_task(exchange.run())
    await wait_for(lambda: len(exchange.sent) == 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (exchange.outcomes, exchange.source.is_closed) == (["failed"], True)
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
async def test_a_file_is_sent_in_slices(size: int) -> None:
    sent, outcomes = await send_whole(size)
    assert (b"content-length", str(size).encode()) in sent[0]["headers"]
    assert b"".join(each["body"] for each in sent[1:]) == bytes(size)
    assert all(len(each["body"]) <= 65_536 for each in sent[1:])
    assert [each["more_body"] for each in sent[1:]] == [True] * (len(sent) - 2) + [False]
    assert outcomes == ["done"]


async def test_a_file_is_dropped_when_the_client_disconnects() -> None:
    _, outcomes = await send_whole(200_000, leaves=True)
    assert outcomes == ["caller left"]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_response_is_not_done_if_the_client_disconnects_early(is_whole: bool) -> None:
    """The rest was sent to the closed connection immediately, and the response counted as done."""
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
    def test_no_character_splits_the_event(self, char: str) -> None:
        """The library splits data at every character that Python treats as a line end."""
        event = sse_event(Content(text=f"a{char}b"))
        line, _, end = event.partition(b"\n")
        assert end == b"\n"
        assert json.loads(line.removeprefix(b"data: "))["text"] == f"a{char}b"


class TestErrorEvent:
    async def run(self, *parts: bytes | Exception) -> tuple[list[bytes], str]:
        """Returns the events, and the message of the error that is raised after them."""
        source = Source(list(parts))
        source.gate.set()
        sent: list[bytes] = []
        raised = ""
        try:
            async for event in with_error_event(
                source.run(), lambda error: Content(text=error.message)
            ):
                sent.append(event)
        except OrpheusError as error:
            raised = str(error)
        assert source.is_closed
        return sent, raised

    async def test_events_without_an_error(self) -> None:
        assert await self.run(b"first", b"second") == ([b"first", b"second"], "")

    async def test_an_error_after_an_event(self) -> None:
        """The error is raised, too: a body that ends normally looks complete to a client that does
        not know the event."""
        event = b'data: {"text":"it died","more":null}\n\n'
        assert await self.run(b"first", EngineDead("it died")) == ([b"first", event], "it died")

    async def test_an_error_before_any_event(self) -> None:
        assert await self.run(EngineDead("it died")) == ([], "it died")

    async def test_a_bug_is_no_event(self) -> None:
        with pytest.raises(ValueError, match="a bug"):
            await self.run(b"first", ValueError("a bug"))


@dataclass
class Handler:
    """A handler that responds with a whole file or with a stream."""

    parts: list[bytes | Exception]
    is_streamed: bool
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    outcomes: list[Outcome] = field(default_factory=list)
    is_closed: bool = False
    is_complete: bool = False
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
            is_complete=lambda: self.is_complete and self.gate.is_set(),
            media_type="audio/pcm",
            headers=lambda: {"x-is-ready": str(self.gate.is_set())},
            on_end=self.outcomes.append,
        )


def ready_handler(*parts: bytes | Exception, is_streamed: bool) -> Handler:
    """Returns a handler whose bytes are ready."""
    handler = Handler(list(parts), is_streamed)
    handler.gate.set()
    return handler


class TestRespond:
    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_response_without_problems(self, is_streamed: bool) -> None:
        handler = ready_handler(b"one", b"two", is_streamed=is_streamed)
        response = await handler.run()
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        assert handler.outcomes == []
        await response(SCOPE, handler.messages.get, send)
        assert sent[0]["status"] == 200
        headers = dict(sent[0]["headers"])
        assert (headers[b"x-is-ready"], headers[b"content-type"]) == (b"True", b"audio/pcm")
        assert (b"content-length" in headers) is not is_streamed
        bodies = [message["body"] for message in sent[1:]]
        assert bodies == ([b"one", b"two", b""] if is_streamed else [b"onetwo", b""])
        assert handler.outcomes == ["done"]
        assert handler.is_closed

    async def test_a_stream_whose_first_bytes_are_all(self) -> None:
        handler = ready_handler(b"one", is_streamed=True)
        handler.is_complete = True
        response = await handler.run()
        assert handler.is_closed
        assert handler.outcomes == []
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await response(SCOPE, handler.messages.get, send)
        headers = dict(sent[0]["headers"])
        assert headers[b"content-length"] == b"3"
        assert b"x-accel-buffering" not in headers
        assert [message["body"] for message in sent[1:]] == [b"one", b""]
        assert handler.outcomes == ["done"]

    async def test_an_empty_stream(self) -> None:
        response = await ready_handler(is_streamed=True).run()
        assert response.status_code == 200

    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_failure_before_the_first_bytes(self, is_streamed: bool) -> None:
        handler = ready_handler(EngineDead("gone"), is_streamed=is_streamed)
        with pytest.raises(EngineDead, match="gone"):
            await handler.run()
        assert handler.outcomes == ["failed"]
        assert handler.is_closed

    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_client_that_leaves_before_the_first_bytes(self, is_streamed: bool) -> None:
        handler = Handler([b"one"], is_streamed)
        handler.messages.put_nowait({"type": "http.disconnect"})
        response = await handler.run()
        assert (response.status_code, response.body) == (499, b"")
        assert handler.outcomes == ["caller left"]

    @pytest.mark.parametrize("is_streamed", [True, False])
    async def test_a_handler_that_is_cancelled(self, is_streamed: bool) -> None:
        handler = Handler([b"one"], is_streamed)
        task = asyncio.create_task(handler.run())
        await asyncio.sleep(0)
        await cancel_all([task])
        assert handler.outcomes == ["failed"]


async def test_a_body_whose_closing_fails_still_ends() -> None:
    """Regression: the engine slot of such a response was never given back."""

    async def rest() -> AsyncGenerator[bytes, None]:
        try:
            yield b"second"
        finally:
            raise RuntimeError("closing fails")

    outcomes: list[Outcome] = []
    messages = asyncio.Queue[Message]()
    response = StreamedResponse(
        b"first", rest(), media_type="audio/pcm", headers={}, on_end=outcomes.append
    )

    async def send(message: Message) -> None:
        if message.get("body") == b"second":
            messages.put_nowait({"type": "http.disconnect"})
            await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="closing fails"):
        await response(SCOPE, messages.get, send)
    assert outcomes == ["caller left"]

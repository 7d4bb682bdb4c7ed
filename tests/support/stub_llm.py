"""A stub of the OpenAI-compatible servers of language models, including their failures.

It runs on the test's event loop, so that gates are events, and writes to the socket directly, so
that a response can be cut anywhere.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from orpheus_server.concurrency import cancel_all
from tests.support.app import wait_for


@dataclass(frozen=True)
class StubRequest:
    """A received request; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class StubResponse:
    """Writes to one client; `gone` is set when it disconnects."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.gone = asyncio.Event()
        self._transport = transport
        self._is_chunked = True

    def head(
        self,
        status: int = 200,
        *,
        kind: str = "text/event-stream",
        headers: Mapping[str, str] | None = None,
        is_chunked: bool = True,
    ) -> None:
        """Starts a response; without chunks, the body ends when the connection closes."""
        self._is_chunked = is_chunked
        framing = "transfer-encoding: chunked" if is_chunked else "connection: close"
        lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", framing]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._transport.write("\r\n".join([*lines, "", ""]).encode())

    def raw(self, data: bytes) -> None:
        """Writes bytes of the body."""
        if self._is_chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        self._transport.write(data)

    def event(self, data: object) -> None:
        """Writes an event: strings unchanged, everything else as JSON."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.raw(f"data: {text}\n\n".encode())

    def end(self) -> None:
        """Ends the response."""
        if self._is_chunked:
            self._transport.write(b"0\r\n\r\n")
        else:
            self._transport.close()

    def close(self) -> None:
        """Closes the connection after sending what was written."""
        self._transport.close()

    def cut(self) -> None:
        """Resets the connection."""
        self._transport.abort()

    async def wait(self, gate: asyncio.Event) -> None:
        """Waits until the gate opens or the client disconnects."""
        waits = [asyncio.create_task(event.wait()) for event in (gate, self.gone)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await cancel_all(waits)

    def json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """Writes a complete response that is not streamed."""
        self.head(status, kind="application/json", headers=headers)
        self.raw((body if isinstance(body, str) else json.dumps(body)).encode())
        self.end()


Responder = Callable[[StubRequest, StubResponse], Awaitable[None]]


def chunk(text: str | None = None, *, finish: str | None = None, **delta: object) -> dict[str, Any]:
    """Returns a chunk with one choice."""
    choice = {"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


def usage(num_prompt_tokens: int, num_tokens: int) -> dict[str, Any]:
    """Returns the final chunk with counts."""
    counts = {"prompt_tokens": num_prompt_tokens, "completion_tokens": num_tokens}
    return {"id": "c", "choices": [], "usage": counts}


def events(*data: object, is_chunked: bool = True) -> Responder:
    """Sends these events and ends the response."""

    async def responder(requested: StubRequest, response: StubResponse) -> None:
        response.head(is_chunked=is_chunked)
        for each in data:
            response.event(each)
        response.end()

    return responder


def says(*texts: str, finish: str = "stop", counts: tuple[int, int] | None = (5, 7)) -> Responder:
    """Sends a regular reply."""
    tail = [usage(*counts)] if counts else []
    start = chunk("", role="assistant")
    parts = [chunk(text) for text in texts]
    return events(start, *parts, chunk(finish=finish), *tail, "[DONE]")


def rejects(
    status: int,
    message: str = "No.",
    *,
    headers: Mapping[str, str] | None = None,
    **fields: object,
) -> Responder:
    """Sends an error in OpenAI's envelope."""

    async def responder(requested: StubRequest, response: StubResponse) -> None:
        response.json(status, {"error": {"message": message, **fields}}, headers)

    return responder


def waits(gate: asyncio.Event, before: Sequence[object], after: Sequence[object] = ()) -> Responder:
    """Sends `before`, waits for the gate and sends `after`; the head waits too without `before`."""

    async def responder(requested: StubRequest, response: StubResponse) -> None:
        if before:
            response.head()
        for each in before:
            response.event(each)
        await response.wait(gate)
        if not before:
            response.head()
        for each in after:
            response.event(each)
        response.end()

    return responder


def cuts(*data: object, gate: asyncio.Event | None = None) -> Responder:
    """Closes the connection after these events.

    With a gate, resets it when the gate opens, which discards data that the client has not read.
    """

    async def responder(requested: StubRequest, response: StubResponse) -> None:
        if data:
            response.head()
        for each in data:
            response.event(each)
        if gate is None:
            response.close()
        else:
            await response.wait(gate)
            response.cut()

    return responder


async def hangs(requested: StubRequest, response: StubResponse) -> None:
    """Sends nothing; ends when the client disconnects."""
    await response.gone.wait()


class _Connection(asyncio.Protocol):
    def __init__(self, stub: "StubLlm") -> None:
        self._stub = stub
        self._data = b""
        self._response: StubResponse | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._stub.connections.add(transport)
        self._stub.num_connections += 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._data = rest[length:]
        method, path, _ = first.split(" ")
        body = json.loads(rest[:length]) if length else {}
        self._response = StubResponse(self._transport)
        self._stub.answer(StubRequest(method, path, headers, body), self._response)

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        self._stub.connections.discard(self._transport)

    def _leave(self) -> None:
        if self._response is not None:
            self._response.gone.set()


class StubLlm:
    """`async with StubLlm() as stub`: runs `responders` in order, then `default`.

    `num_left` counts clients that disconnected before the end of the response. No response may be
    running at the end: one that hangs has a client that did not close its connection.
    """

    def __init__(self, port: int = 0) -> None:
        self._wanted_port = port
        self.responders: deque[Responder] = deque()
        self.default: Responder = says("Hello", ".")
        self.models: Responder = self._list_models
        self.model_names = ["m"]
        self.max_model_len: int | None = None
        self.requested: list[StubRequest] = []
        self.model_requests: list[StubRequest] = []
        self.num_left = 0
        self.num_connections = 0
        self.connections: set[asyncio.Transport] = set()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the completion requests."""
        return [requested.body for requested in self.requested]

    @property
    def num_running(self) -> int:
        """The number of unfinished responses."""
        return len(self._running)

    async def _list_models(self, requested: StubRequest, response: StubResponse) -> None:
        context = {} if self.max_model_len is None else {"max_model_len": self.max_model_len}
        response.json(200, {"data": [{"id": name, **context} for name in self.model_names]})

    def answer(self, requested: StubRequest, response: StubResponse) -> None:
        """Runs the next response."""
        if requested.path == "/v1/models":
            self.model_requests.append(requested)
            responder = self.models
        else:
            self.requested.append(requested)
            responder = self.responders.popleft() if self.responders else self.default
        task = asyncio.create_task(self._respond(responder, requested, response))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _respond(
        self, responder: Responder, requested: StubRequest, response: StubResponse
    ) -> None:
        await responder(requested, response)
        self.num_left += response.gone.is_set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._wanted_port
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await wait_for(lambda: not self._running)
        finally:
            for task in self._running:
                task.cancel()
            self._server.close()
            for connection in list(self.connections):
                connection.abort()
            await wait_for(lambda: not self.connections)
            await self._server.wait_closed()

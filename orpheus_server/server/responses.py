"""Buffered and streamed HTTP responses that stop when the caller leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, Literal, TypeVar

from fastapi import Request, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError

Outcome = Literal["done", "failed", "caller left"]

# Proxies hold an answer back until it is whole unless they are told not to; nginx has its own word.
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}

_SLICE_BYTES = 1 << 16

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that disconnected before its response; only logs show it."""


async def respond(
    request: Request,
    *,
    whole: Callable[[], Coroutine[Any, Any, bytes]],
    pieces: AsyncGenerator[bytes, None] | None,
    media_type: str,
    headers: Callable[[], Mapping[str, str]],
    on_end: Callable[[Outcome], None],
) -> Response:
    """Responds with `pieces` as they come, or if that is None with the result of `whole`.

    Nothing is sent before the first bytes exist: an error until then gets a status of its own, and
    `headers` is called afterwards. `on_end` is called when the response has ended, in whatever way.
    """
    first = whole() if pieces is None else _first_of(pieces)
    try:
        data = await until_disconnect(request.receive, first)
    except BaseException:
        on_end("failed")
        raise
    if data is None:
        on_end("caller left")
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    if pieces is None:
        return BufferedResponse(data, media_type=media_type, headers=headers(), on_end=on_end)
    return StreamedResponse(data, pieces, media_type=media_type, headers=headers(), on_end=on_end)


async def _first_of(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces, b"")


def sse_event(content: BaseModel, *, exclude_unset: bool = False) -> bytes:
    """A server-sent event with this content as JSON."""
    # Escaped, because the library takes U+2028 and its like for ends of lines.
    data = content.model_dump_json(exclude_unset=exclude_unset, ensure_ascii=True)
    return format_sse_event(data_str=data)


class BufferedResponse(Response):
    """Sends a file in slices, each when the one before it has left, and tells when it is gone."""

    def __init__(
        self,
        data: bytes,
        *,
        media_type: str,
        headers: Mapping[str, str],
        on_end: Callable[[Outcome], None],
    ) -> None:
        super().__init__(data, media_type=media_type, headers=headers)
        self._data = data
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        outcome: Outcome = "failed"
        try:
            outcome = await until_disconnect(receive, self._pump(send)) or "caller left"
        finally:
            self._on_end(outcome)

    async def _pump(self, send: Send) -> Outcome:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        view = memoryview(self._data)
        for start in range(0, len(view), _SLICE_BYTES):
            body = bytes(view[start : start + _SLICE_BYTES])
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await _let_watch()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return "done"


class StreamedResponse(Response):
    """Sends the first bytes and then the rest, whose closing ends the work behind it.

    A failure cuts the connection: a body that ends as if it were whole would be taken for whole.
    """

    def __init__(
        self,
        first: bytes,
        rest: AsyncGenerator[bytes, None],
        *,
        media_type: str,
        headers: Mapping[str, str],
        on_end: Callable[[Outcome], None],
    ) -> None:
        super().__init__(media_type=media_type, headers={**STREAM_HEADERS, **headers})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        outcome: Outcome = "failed"
        try:
            outcome = await until_disconnect(receive, self._pump(send)) or "caller left"
        finally:
            await self._rest.aclose()
            self._on_end(outcome)

    async def _pump(self, send: Send) -> Outcome:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        try:
            async for data in self._rest:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                await _let_watch()
        except OrpheusError:
            # The server closes the connection of an answer that was left unfinished.
            return "failed"
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return "done"


async def _let_watch() -> None:
    # The server takes all that is sent to a caller who is gone, and waits for nothing: what is
    # there already would go at once, and be taken for sent.
    await asyncio.sleep(0)


T = TypeVar("T")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result, or None if the caller left first, in which case the work has been cancelled.

    Neither FastAPI nor uvicorn cancels a handler that has not begun to answer.
    """
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await cancel_all((task, watcher))


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Buffered and streamed HTTP responses that stop when the client disconnects."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Literal, TypeVar

from fastapi import Request, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError
from orpheus_server.server.errors import ErrorBody, error_body

Outcome = Literal["done", "failed", "caller left"]

# By default proxies buffer a response until it is complete; nginx has its own header for this.
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}

_SLICE_BYTES = 1 << 16

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that disconnected before its response; only logs show it."""


async def respond(
    request: Request,
    *,
    whole: Callable[[], Coroutine[Any, Any, bytes]],
    pieces: AsyncGenerator[bytes, None] | None,
    is_complete: Callable[[], bool] = lambda: False,
    media_type: str,
    headers: Callable[[], Mapping[str, str]],
    on_end: Callable[[Outcome], None],
) -> Response:
    """Streams `pieces` as they arrive, or sends the result of `whole` if `pieces` is None.

    Nothing is sent until the first bytes exist, so that an earlier error gets its own status.
    `is_complete`, which returns whether the first of `pieces` is the whole body, and `headers` are
    called after that. `on_end` is called once, however the response ends.
    """
    first = whole() if pieces is None else _first_of(pieces, is_complete)
    try:
        data = await until_disconnect(request.receive, first)
    except BaseException:
        on_end("failed")
        raise
    if data is None:
        on_end("caller left")
        return unsent_response()
    if pieces is None or is_complete():
        return BufferedResponse(data, media_type=media_type, headers=headers(), on_end=on_end)
    return StreamedResponse(data, pieces, media_type=media_type, headers=headers(), on_end=on_end)


def unsent_response() -> Response:
    """Returns the response for a client that has disconnected; only logs and metrics show it."""
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _first_of(pieces: AsyncGenerator[bytes, None], is_complete: Callable[[], bool]) -> bytes:
    data = await anext(pieces, b"")
    if is_complete():
        await pieces.aclose()
    return data


async def with_error_event(
    events: AsyncGenerator[bytes, None], render: Callable[[ErrorBody], BaseModel]
) -> AsyncGenerator[bytes, None]:
    """Yields the events; an error after the first one is yielded as an event, too, and then raised.

    A client that does not know the error event notices that the body is unfinished.
    """
    has_begun = False
    try:
        async with aclosing(events):
            async for data in events:
                yield data
                has_begun = True
    except OrpheusError as error:
        if has_begun:
            yield sse_event(render(error_body(error)))
        raise


def sse_event(content: BaseModel, *, exclude_unset: bool = False) -> bytes:
    """Returns a server-sent event with this content as JSON."""
    # ASCII only, because the library treats U+2028 and similar characters as line ends.
    data = content.model_dump_json(exclude_unset=exclude_unset, ensure_ascii=True)
    return format_sse_event(data_str=data)


class BufferedResponse(Response):
    """Sends complete data in slices, waiting for each to be sent, and reports how it ended."""

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
            await _let_watcher_run()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return "done"


class StreamedResponse(Response):
    """Sends the first bytes and then the rest; closing `rest` stops the work that produces it.

    A failure closes the connection without ending the body, which would otherwise look complete.
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
            try:
                await self._rest.aclose()
            finally:
                # Even if closing fails: this gives the engine slot back.
                self._on_end(outcome)

    async def _pump(self, send: Send) -> Outcome:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        try:
            async for data in self._rest:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                await _let_watcher_run()
        except OrpheusError:
            # uvicorn closes the connection because the body was not finished.
            return "failed"
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return "done"


async def _let_watcher_run() -> None:
    # After a disconnect, `send` returns immediately without an error. Without this the loop would
    # send the rest before the watcher runs, and count it as delivered.
    await asyncio.sleep(0)


T = TypeVar("T")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Returns the result of `work`, or cancels it and returns None if the client disconnects first.

    Neither FastAPI nor uvicorn cancels a handler that has not started its response.
    """
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await cancel_all((task, watcher))


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass

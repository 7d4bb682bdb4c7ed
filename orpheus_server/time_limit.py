"""A bound on the time that the server works on a request."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from orpheus_server.errors import RequestTimedOut

T = TypeVar("T")


async def within(limit_sec: float, work: Coroutine[Any, Any, T]) -> T:
    """The result; raises `RequestTimedOut` if it takes longer, once it has been cancelled."""
    limit = asyncio.timeout(limit_sec)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise _timed_out(limit_sec) from None
        raise


async def pieces_within(
    limit_sec: float,
    pieces: AsyncGenerator[T, None],
    *,
    counts: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[T, None]:
    """The same pieces; raises `RequestTimedOut` once making them took longer altogether.

    What whoever takes them needs in between is not in it: a listener may take an hour for an hour.
    Nor is a piece that is begun while `counts` says no, because the server waits for its caller.
    """
    left_sec = limit_sec
    async with aclosing(pieces):
        while True:
            is_counted = counts()
            limit = asyncio.timeout(max(0.0, left_sec) if is_counted else None)
            started = clock()
            try:
                async with limit:
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if limit.expired():
                    raise _timed_out(limit_sec) from None
                raise
            if is_counted:
                left_sec -= clock() - started
            yield piece


def _timed_out(limit_sec: float) -> RequestTimedOut:
    return RequestTimedOut(f"The request took longer than {limit_sec:g} s, which is the limit.")

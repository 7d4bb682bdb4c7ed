"""Owned tasks, merged streams, a bounded thread pool, and time limits."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from orpheus_server.errors import RequestTimedOut

T = TypeVar("T")
P = ParamSpec("P")


async def run_together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All results in order; the first failure cancels the rest, which end before it is raised.

    Unlike `TaskGroup` it raises the failure itself, so callers match on its type.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel_all(tasks)


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    # Unlike `gather`, it passes on a cancellation of its caller as it came: a cancel scope around
    # does not know one that was made here for its own.
    done, _ = await asyncio.wait(tasks)
    for task in done:
        if not task.cancelled():
            task.exception()


@dataclass(frozen=True, slots=True)
class _Part(Generic[T]):
    item: T


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None


async def merged(*sources: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Items of all sources as they come, until the last one has ended.

    No source is more than two items ahead of whoever takes them. The first failure is raised
    behind what came before it, and ends the others, as closing the generator does.
    """
    queue: asyncio.Queue[_Part[T] | _End] = asyncio.Queue(maxsize=1)

    async def take(source: AsyncGenerator[T, None]) -> None:
        error: Exception | None = None
        try:
            async with aclosing(source):
                async for item in source:
                    await queue.put(_Part(item))
        except Exception as failure:  # a task's edge: whoever takes the items raises it
            error = failure
        await queue.put(_End(error))

    tasks = [asyncio.create_task(take(source)) for source in sources]
    num_open = len(tasks)
    try:
        while num_open:
            part = await queue.get()
            if isinstance(part, _Part):
                yield part.item
                continue
            num_open -= 1
            if part.error is not None:
                raise part.error
    finally:
        await cancel_all(tasks)


class WorkerPool:
    """Runs blocking functions off the event loop, at most `max_workers` at a time."""

    def __init__(self, max_workers: int, *, initializer: Callable[[], None] | None = None) -> None:
        self._executor = ThreadPoolExecutor(
            max_workers, thread_name_prefix="orpheus-worker", initializer=initializer
        )

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; a cancelled caller leaves, the call itself ends in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def submit(self, function: Callable[[], None]) -> None:
        """Queues a function that delivers its own result, failures included."""
        self._executor.submit(function)

    async def close(self) -> None:
        """Waits for calls that run and drops those that have not started."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)


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

"""Owned tasks, merged streams, a bounded thread pool, and time limits."""

import asyncio
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from orpheus_server.errors import RequestTimedOut

T = TypeVar("T")
P = ParamSpec("P")


CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of CPU time (or `max`) per so many microseconds, in a container with a limit; see
the kernel's documentation of cgroup v2."""


def num_cores(cpu_limit: Path = CPU_LIMIT) -> int:
    """Returns the number of cores that this process may use.

    `taskset` and containers (`docker run --cpus`) allow fewer than the machine has. Only Linux
    reports that.
    """
    if hasattr(os, "sched_getaffinity"):
        num_allowed = len(os.sched_getaffinity(0))
    else:
        num_allowed = os.cpu_count() or 1
    try:
        limit, period = cpu_limit.read_text(encoding="ascii").split()
        return max(1, min(num_allowed, math.ceil(int(limit) / int(period))))
    except (OSError, ValueError):
        return num_allowed


async def run_together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Runs coroutines concurrently; returns their results in order.

    The first failure cancels the others and is raised once they have ended. It is not wrapped in a
    group as by `TaskGroup`, so callers can match on its type.
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
    # `gather` would raise a new `CancelledError` if the caller is cancelled, and an enclosing
    # cancel scope would not recognise it as its own.
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
    """Yields the items of all sources as they arrive, until the last source has ended.

    No source is more than two items ahead of the consumer. The first failure is raised after the
    items before it; it ends the other sources, as does closing the generator.
    """
    queue: asyncio.Queue[_Part[T] | _End] = asyncio.Queue(maxsize=1)

    async def take(source: AsyncGenerator[T, None]) -> None:
        error: Exception | None = None
        try:
            async with aclosing(source):
                async for item in source:
                    await queue.put(_Part(item))
        except Exception as failure:  # the consumer raises it
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
        """Returns the function's result; cancelling the caller does not stop the call."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def submit(self, function: Callable[[], None]) -> None:
        """Queues a function that delivers its own result and handles its own failures."""
        self._executor.submit(function)

    async def close(self) -> None:
        """Waits for running calls and drops those that have not started."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)


async def within(limit_sec: float, work: Coroutine[Any, Any, T]) -> T:
    """Returns the result of `work`, or cancels it after the limit and raises `RequestTimedOut`."""
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
    """Yields `pieces`; raises `RequestTimedOut` once they have taken more than the limit in total.

    Time that the consumer spends between pieces is not counted: a listener may take an hour for an
    hour of audio. Neither is the time of a piece that starts while `counts` returns False, because
    the server is then waiting for its client.
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

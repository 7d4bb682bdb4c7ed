"""Tasks with an owner: whoever starts them waits for them, and cancels them when it leaves."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All results in order; the first failure cancels the rest, which end before it is raised.

    Unlike `TaskGroup` it raises the failure itself, so callers match on its type.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel_all(tasks)


async def run_ahead(
    work: Iterable[Callable[[], Coroutine[Any, Any, T]]], *, look_ahead: int
) -> AsyncGenerator[T, None]:
    """Results in order while up to `look_ahead` calls run or wait to be taken.

    Memory is bounded by that number. Closing the generator cancels what runs.
    """
    waiting: deque[asyncio.Task[T]] = deque()
    try:
        for start in work:
            waiting.append(asyncio.create_task(start()))
            if len(waiting) >= look_ahead:
                yield await waiting[0]
                waiting.popleft()
        while waiting:
            yield await waiting[0]
            waiting.popleft()
    finally:
        await cancel_all(waiting)


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

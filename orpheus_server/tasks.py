"""Tasks with an owner: whoever starts them waits for them, and cancels them when it leaves."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")
Box = TypeVar("Box")


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
    items: AsyncGenerator[Item, None],
    work: Callable[[int, Item, Box], Coroutine[Any, Any, None]],
    open_box: Callable[[], Box],
    *,
    look_ahead: int,
) -> AsyncGenerator[tuple[int, Item, Box], None]:
    """Index, item and box of each item in order, while `work` on the next ones fills theirs.

    The one that was yielded last and those after it that have begun are at most `look_ahead`; an
    item that is late holds up nothing before it. Work tells its failures through its box; that of
    `items` is raised after the last box. Closing the generator cancels what runs.
    """
    slots = asyncio.Semaphore(look_ahead)
    line: asyncio.Queue[tuple[int, Item, Box] | None] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    async def begin_all() -> None:
        index = 0
        try:
            async with aclosing(items):
                # A slot first: an item is not asked for before there is room for it.
                await slots.acquire()
                async for item in items:
                    box = open_box()
                    task = asyncio.create_task(work(index, item, box))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    line.put_nowait((index, item, box))
                    index += 1
                    await slots.acquire()
        finally:
            line.put_nowait(None)

    beginner = asyncio.create_task(begin_all())
    try:
        while (begun := await line.get()) is not None:
            yield begun
            slots.release()
        await beginner
    finally:
        await cancel_all((beginner, *tasks))


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

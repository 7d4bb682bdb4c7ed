"""Work on the next items of a stream, while the first one is taken."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from orpheus_server.concurrency import cancel_all

Item = TypeVar("Item")
Box = TypeVar("Box")


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

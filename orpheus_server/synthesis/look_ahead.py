"""Work on the next items of a stream, while the first one is taken."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from orpheus_server.concurrency import cancel_all

Item = TypeVar("Item")
Buffer = TypeVar("Buffer")


async def run_ahead(
    items: AsyncGenerator[Item, None],
    work: Callable[[int, Item, Buffer], Coroutine[Any, Any, None]],
    open_buffer: Callable[[], Buffer],
    *,
    look_ahead: int,
) -> AsyncGenerator[tuple[int, Item, Buffer], None]:
    """Index, item and buffer of each item in order, while `work` on the next ones fills theirs.

    The one that was yielded last and those after it that have begun are at most `look_ahead`; an
    item that is late holds up nothing before it. Work reports its failures through its buffer;
    that of `items` is raised after the last buffer. Closing the generator cancels what runs.
    """
    permits = asyncio.Semaphore(look_ahead)
    queue: asyncio.Queue[tuple[int, Item, Buffer] | None] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    async def begin_all() -> None:
        index = 0
        try:
            async with aclosing(items):
                # A permit first: an item is not requested before it can be worked on.
                await permits.acquire()
                async for item in items:
                    buffer = open_buffer()
                    task = asyncio.create_task(work(index, item, buffer))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    queue.put_nowait((index, item, buffer))
                    index += 1
                    await permits.acquire()
        finally:
            queue.put_nowait(None)

    beginner = asyncio.create_task(begin_all())
    try:
        while (begun := await queue.get()) is not None:
            yield begun
            permits.release()
        await beginner
    finally:
        await cancel_all((beginner, *tasks))

"""Works on the next items of a stream while the first one is consumed."""

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
    """Yields index, item and buffer in order, while `work` fills the buffers of the next items.

    At most `look_ahead` items are in progress, including the one yielded last; a late item does not
    delay earlier ones. Failures of `work` are reported through its buffer; an error of `items` is
    raised after the last buffer. Closing the generator cancels all work.
    """
    permits = asyncio.Semaphore(look_ahead)
    queue: asyncio.Queue[tuple[int, Item, Buffer] | None] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    async def begin_all() -> None:
        index = 0
        try:
            async with aclosing(items):
                # The permit comes first, so that no item is requested before it can be worked on.
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

"""Several streams as one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from orpheus_server.tasks import cancel_all

T = TypeVar("T")


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
    line: asyncio.Queue[_Part[T] | _End] = asyncio.Queue(maxsize=1)

    async def take(source: AsyncGenerator[T, None]) -> None:
        error: Exception | None = None
        try:
            async with aclosing(source):
                async for item in source:
                    await line.put(_Part(item))
        except Exception as failure:  # a task's edge: whoever takes the items raises it
            error = failure
        await line.put(_End(error))

    tasks = [asyncio.create_task(take(source)) for source in sources]
    num_open = len(tasks)
    try:
        while num_open:
            part = await line.get()
            if isinstance(part, _Part):
                yield part.item
                continue
            num_open -= 1
            if part.error is not None:
                raise part.error
    finally:
        await cancel_all(tasks)

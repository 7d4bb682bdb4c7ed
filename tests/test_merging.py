"""Several streams as one: order, failures, and who holds whom."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from orpheus_server.merging import merged
from tests.support.app import other_tasks, settle

pytestmark = pytest.mark.anyio


class Source:
    """Numbers, each once its gate is open; `error` in place of its end."""

    def __init__(self, *items: int, error: Exception | None = None) -> None:
        self.gates = [asyncio.Event() for _ in range(len(items) + 1)]
        self.num_made = 0
        self.is_closed = False
        self._items = items
        self._error = error

    def open_all(self) -> "Source":
        for gate in self.gates:
            gate.set()
        return self

    async def run(self) -> AsyncGenerator[int, None]:
        try:
            for item, gate in zip(self._items, self.gates, strict=False):
                await gate.wait()
                self.num_made += 1
                yield item
            await self.gates[-1].wait()
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


async def test_items_come_when_they_are_there() -> None:
    """Taking them by turns, the second sentence waits for the first one's sound."""
    before = other_tasks()
    first, second = Source(1, 2), Source(11, 12)
    async with aclosing(merged(first.run(), second.run())) as items:
        second.gates[0].set()
        assert await anext(items) == 11
        second.gates[1].set()
        assert await anext(items) == 12
        first.open_all()
        assert [await anext(items), await anext(items)] == [1, 2]
        second.open_all()
        with pytest.raises(StopAsyncIteration):
            await anext(items)
    assert other_tasks() == before


async def test_who_takes_slowly_holds_all_of_them() -> None:
    before = other_tasks()
    sources = [Source(*range(100)).open_all() for _ in range(2)]
    async with aclosing(merged(*(source.run() for source in sources))) as items:
        await anext(items)
        await settle()
        assert max(source.num_made for source in sources) <= 3
        await anext(items)
        await settle()
        assert sum(source.num_made for source in sources) <= 6
    assert all(source.is_closed for source in sources)
    assert other_tasks() == before


async def test_a_failure_is_raised_behind_what_came_before_it() -> None:
    before = other_tasks()
    failing, waiting = Source(1, 2, error=ValueError("broken")).open_all(), Source(11)
    items = merged(failing.run(), waiting.run())
    assert [await anext(items), await anext(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        await anext(items)
    assert waiting.is_closed
    assert other_tasks() == before


async def test_whoever_waits_may_be_cancelled() -> None:
    before = other_tasks()
    sources = [Source(1), Source(2)]
    items = merged(*(source.run() for source in sources))
    taking = asyncio.ensure_future(anext(items))
    await settle()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert all(source.is_closed for source in sources)
    assert other_tasks() == before


async def test_nothing_is_nothing() -> None:
    assert [
        item async for item in merged(Source().open_all().run(), Source().open_all().run())
    ] == []

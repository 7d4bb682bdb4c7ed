"""Tasks in order, never more than allowed, none left behind."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from orpheus_server.tasks import cancel_all, run_ahead, run_together

pytestmark = pytest.mark.anyio


class Jobs:
    """Numbered jobs that end when they are told to; knows which run and which were cancelled."""

    def __init__(self, count: int) -> None:
        self.gates = [asyncio.Event() for _ in range(count)]
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.ended: list[int] = []

    async def run(self, number: int) -> int:
        self.started.append(number)
        try:
            await self.gates[number].wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        self.ended.append(number)
        return number

    def starters(self) -> list[Callable[[], Coroutine[Any, Any, int]]]:
        return [partial(self.run, number) for number in range(len(self.gates))]

    def open_all(self) -> None:
        for gate in self.gates:
            gate.set()


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def fail(message: str) -> int:
    raise ValueError(message)


def other_tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_together_keeps_the_order() -> None:
    jobs = Jobs(3)
    running = asyncio.create_task(run_together(*(jobs.run(number) for number in range(3))))
    await settle()
    for number in (2, 0, 1):
        jobs.gates[number].set()
        await settle()
    assert await running == [0, 1, 2]
    assert jobs.ended == [2, 0, 1]


async def test_together_of_nothing() -> None:
    assert await run_together() == []


async def test_the_first_failure_cancels_the_rest() -> None:
    jobs = Jobs(2)
    before = other_tasks()
    with pytest.raises(ValueError, match="broken"):
        await run_together(jobs.run(0), fail("broken"), jobs.run(1))
    assert jobs.cancelled == [0, 1]
    assert other_tasks() == before


async def test_cancelling_together_cancels_all() -> None:
    jobs = Jobs(2)
    running = asyncio.create_task(run_together(jobs.run(0), jobs.run(1)))
    await settle()
    await cancel_all([running])
    assert running.cancelled()
    assert jobs.cancelled == [0, 1]


@pytest.mark.parametrize("look_ahead", [1, 2, 3, 9])
async def test_ahead_keeps_order_and_bound(look_ahead: int) -> None:
    jobs = Jobs(5)
    jobs.open_all()
    taken: list[int] = []
    async with aclosing(run_ahead(jobs.starters(), look_ahead=look_ahead)) as results:
        async for result in results:
            taken.append(result)
            await settle()
            # Those taken before, and as many as may run or wait, the one in hand among them.
            assert len(jobs.started) == min(5, len(taken) - 1 + look_ahead)
    assert taken == [0, 1, 2, 3, 4]


async def test_ahead_starts_no_more_than_allowed() -> None:
    """Earlier servers started every chunk of a book at once and held all of its audio."""
    jobs = Jobs(5)
    results = run_ahead(jobs.starters(), look_ahead=2)
    first = asyncio.create_task(anext(results))
    await settle()
    assert jobs.started == [0, 1]
    jobs.gates[1].set()
    await settle()
    assert not first.done()
    assert jobs.started == [0, 1]
    jobs.gates[0].set()
    assert await first == 0
    await results.aclose()
    assert jobs.started == [0, 1]


async def test_closing_ahead_cancels_what_runs() -> None:
    jobs = Jobs(4)
    jobs.gates[0].set()
    before = other_tasks()
    async with aclosing(run_ahead(jobs.starters(), look_ahead=3)) as results:
        assert await anext(results) == 0
    assert jobs.cancelled == [1, 2]
    assert other_tasks() == before


async def test_a_failure_ahead_comes_in_its_turn_and_cancels_the_rest() -> None:
    jobs = Jobs(4)
    jobs.gates[0].set()
    starters = jobs.starters()
    starters[1] = lambda: fail("second")
    taken: list[int] = []
    before = other_tasks()

    async def take_all() -> None:
        async for result in run_ahead(starters, look_ahead=3):
            taken.append(result)

    with pytest.raises(ValueError, match="second"):
        await take_all()
    assert taken == [0]
    # The fourth had not begun yet, and never will.
    assert jobs.cancelled == [2]
    assert other_tasks() == before


async def test_ahead_of_nothing() -> None:
    nothing: list[Callable[[], Coroutine[Any, Any, int]]] = []
    assert [result async for result in run_ahead(nothing, look_ahead=3)] == []


async def test_cancel_all_waits_for_the_end() -> None:
    steps: list[str] = []

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await settle()
            steps.append("ended")

    task = asyncio.create_task(slow_to_end())
    await settle()
    await cancel_all([task])
    assert steps == ["ended"]
    await cancel_all([task])
    await cancel_all([])

"""Items are yielded in order, work is bounded by the look-ahead, and no task is left running."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from orpheus_server.concurrency import cancel_all
from tests.support.app import other_tasks, settle
from tests.support.jobs import Begun, Jobs

pytestmark = pytest.mark.anyio


class TestAhead:
    @pytest.mark.parametrize("look_ahead", [1, 2, 3, 9])
    async def test_order_and_bound(self, look_ahead: int) -> None:
        jobs = Jobs(5)
        jobs.open_all()
        taken: list[Begun] = []
        async with aclosing(jobs.ahead(look_ahead=look_ahead)) as boxes:
            async for begun in boxes:
                taken.append(begun)
                await settle()
                # Those taken before, plus the look-ahead, which includes the current item.
                assert len(jobs.started) == min(5, len(taken) - 1 + look_ahead)
                assert jobs.requested == jobs.started
        assert taken == [(index, f"item {index}", [f"{index}: item {index}"]) for index in range(5)]
        assert jobs.is_closed

    async def test_no_more_jobs_are_started_than_allowed(self) -> None:
        """Earlier servers started all chunks of a book immediately and held all of its audio."""
        jobs = Jobs(5)
        async with aclosing(jobs.ahead(look_ahead=2)) as boxes:
            assert await anext(boxes) == (0, "item 0", [])
            await settle()
            assert (jobs.started, jobs.requested) == ([0, 1], [0, 1])
            # The second job has ended, but its box has not been taken yet.
            jobs.gates[1].set()
            await settle()
            assert (jobs.started, jobs.requested) == ([0, 1], [0, 1])
            assert await anext(boxes) == (1, "item 1", ["1: item 1"])
            await settle()
            assert (jobs.started, jobs.requested) == ([0, 1, 2], [0, 1, 2])

    async def test_a_box_is_yielded_before_it_is_full(self) -> None:
        jobs = Jobs(1)
        async with aclosing(jobs.ahead(look_ahead=1)) as boxes:
            _, _, box = await anext(boxes)
            assert box == []
            jobs.open_all()
            await settle()
            assert box == ["0: item 0"]

    async def test_a_late_item_does_not_delay_earlier_ones(self) -> None:
        """A language model may still be writing the text."""
        jobs = Jobs(2)
        gate = asyncio.Event()

        async def items() -> AsyncGenerator[str, None]:
            yield "early"
            await gate.wait()
            yield "late"

        async with aclosing(jobs.ahead(look_ahead=3, items=items())) as boxes:
            assert await anext(boxes) == (0, "early", [])
            next_box = asyncio.create_task(anext(boxes))
            await settle()
            assert not next_box.done()
            gate.set()
            assert await next_box == (1, "late", [])

    async def test_a_failure_of_the_items_is_raised_after_the_last_box(self) -> None:
        jobs = Jobs(2)
        before = other_tasks()

        async def items() -> AsyncGenerator[str, None]:
            yield "good"
            yield "good"
            raise ValueError("no more")

        async with aclosing(jobs.ahead(look_ahead=3, items=items())) as boxes:
            assert (await anext(boxes))[0] == 0
            await settle()
            assert (await anext(boxes))[0] == 1
            with pytest.raises(ValueError, match="no more"):
                await anext(boxes)
        assert sorted(jobs.cancelled) == [0, 1]
        assert other_tasks() == before

    async def test_closing_cancels_the_running_jobs(self) -> None:
        jobs = Jobs(4)
        jobs.gates[0].set()
        before = other_tasks()
        async with aclosing(jobs.ahead(look_ahead=3)) as boxes:
            await anext(boxes)
            await settle()
        assert (jobs.started, jobs.ended) == ([0, 1, 2], [0])
        assert sorted(jobs.cancelled) == [1, 2]
        assert jobs.is_closed
        assert other_tasks() == before

    async def test_closing_while_an_item_is_late_closes_the_items(self) -> None:
        steps: list[str] = []

        async def items() -> AsyncGenerator[str, None]:
            yield "early"
            try:
                await asyncio.Event().wait()
            finally:
                await settle()
                steps.append("closed")

        async with aclosing(Jobs(1).ahead(look_ahead=3, items=items())) as boxes:
            await anext(boxes)
            await settle()
            assert steps == []
        assert steps == ["closed"]

    async def test_cancelling_the_consumer_cancels_the_running_jobs(self) -> None:
        jobs = Jobs(4)
        before = other_tasks()

        async def take_all() -> None:
            async with aclosing(jobs.ahead(look_ahead=1)) as boxes:
                async for _ in boxes:
                    await asyncio.Event().wait()

        running = asyncio.create_task(take_all())
        await settle()
        assert jobs.started == [0]
        await cancel_all([running])
        assert running.cancelled()
        assert (jobs.cancelled, jobs.is_closed) == ([0], True)
        assert other_tasks() == before

    async def test_work_continues_after_the_last_item(self) -> None:
        """The items have ended, but the reader of the last box still waits for its content."""
        jobs = Jobs(2)
        async with aclosing(jobs.ahead(look_ahead=2)) as boxes:
            await anext(boxes)
            _, _, box = await anext(boxes)
            await settle()
            assert jobs.is_closed
            jobs.open_all()
            await settle()
            assert box == ["1: item 1"]

    async def test_no_items(self) -> None:
        jobs = Jobs(0)
        assert [begun async for begun in jobs.ahead(look_ahead=3)] == []
        assert jobs.is_closed

    async def test_a_generator_that_is_never_started_requests_no_item(self) -> None:
        jobs = Jobs(3)
        before = other_tasks()
        await jobs.ahead(look_ahead=3).aclose()
        assert (jobs.requested, other_tasks()) == ([], before)

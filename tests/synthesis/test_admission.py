"""Which requests run, which wait, and which are refused."""

import asyncio
from contextlib import ExitStack

import pytest

from orpheus_server.errors import Overloaded, RateLimited, ShuttingDown
from orpheus_server.synthesis import admission as admission_module
from orpheus_server.synthesis.admission import Admission
from tests.support.app import settle, wait_for
from tests.support.request_group import request_group, retry_after

pytestmark = pytest.mark.anyio


async def test_no_more_requests_run_than_the_capacity() -> None:
    async with request_group(2) as group:
        await group.start("a1", "a2", "a3", "a4")
        assert group.running == ["a1", "a2"]
        assert (group.admission.num_running, group.admission.num_waiting) == (2, 2)
        await group.finish("a1")
        assert group.running == ["a2", "a3"]
        await group.finish("a2", "a3")
        assert group.running == ["a4"]


async def test_streams_go_before_files() -> None:
    async with request_group(1) as group:
        await group.start("a1", "B1", "c1")
        await group.finish("a1")
        assert group.running == ["c1"]
        await group.finish("c1")
        assert group.running == ["B1"]


async def test_files_leave_capacity_for_streams() -> None:
    async with request_group(4) as group:
        await group.start("A1", "A2", "A3", "A4")
        assert group.running == ["A1", "A2", "A3"]
        await group.start("b1")
        assert group.running == ["A1", "A2", "A3", "b1"]
        await group.start("b2")
        await group.finish("A1")
        assert group.running == ["A2", "A3", "b1", "b2"]
        await group.finish("b1")
        assert group.running == ["A2", "A3", "b2", "A4"]


async def test_a_resumed_file_counts_as_a_file_as_soon_as_it_is_called() -> None:
    """It counted only once its task ran, so another file was called beyond their share."""
    async with request_group(2) as group:
        with group.admission.reserve("Z", "bulk") as slot:
            await slot.wait()
            slot.give_back()
            await group.start("a1", "a2", "B1")
            resuming = asyncio.create_task(slot.wait())
            await group.finish("a1", "a2")
            await resuming
            assert (group.running, group.admission.num_waiting) == ([], 1)


async def test_a_file_does_not_overtake_waiting_files() -> None:
    async with request_group(2) as group:
        await group.start("A1", "A2", "b1")
        assert group.running == ["A1", "b1"]


async def test_many_requests_of_one_caller_do_not_delay_another_caller() -> None:
    async with request_group(2) as group:
        await group.start(*(f"a{index}" for index in range(9)), "b1")
        await group.finish("a0")
        assert group.running == ["a1", "b1"]


async def test_a_waiting_request_can_be_cancelled() -> None:
    async with request_group(1) as group:
        await group.start("a1", "a2", "a3")
        await group.cancel("a2")
        assert group.admission.num_waiting == 1
        await group.finish("a1")
        assert group.running == ["a3"]


async def test_a_request_cancelled_as_it_is_called_passes_its_slot_on() -> None:
    """Its slot was lost for good."""
    async with request_group(1) as group:
        await group.start("a1", "a2", "a3")
        group.may_end["a1"].set()
        # a1 ends and calls a2, which is cancelled before its task runs.
        await wait_for(lambda: group.admission.num_waiting == 1)
        group.tasks["a2"].cancel()
        await settle()
        assert group.running == ["a3"]


async def test_a_request_that_waited_too_long_is_refused() -> None:
    async with request_group(1, max_wait_sec=0.01) as group:
        await group.learn_short_holds()
        await group.start("a1", "a2")
        await group.tasks["a2"]
        assert retry_after(group.refused["a2"]) == 2
        assert group.admission.num_waiting == 0
        assert group.admission.rejections == {"waited_too_long": 1}


async def test_a_request_that_would_wait_too_long_is_refused_at_once() -> None:
    async with request_group(1, max_wait_sec=5) as group:
        # Each request is expected to take two seconds.
        await group.start("a1", "a2", "a3", "a4", "a5")
        assert list(group.refused) == ["a4", "a5"]
        # a4 would wait six seconds; in one second it would wait five.
        assert [retry_after(error) for error in group.refused.values()] == [1, 1]
        assert not group.admission.is_open or group.admission.num_waiting == 2
        assert group.admission.rejections == {"overloaded": 2}


async def test_the_time_that_a_model_took_to_load_counts_as_waiting() -> None:
    """A client that gives up after 30 s had left before its turn came."""
    async with request_group(1, max_wait_sec=5) as group:
        await group.start("a1", "a2")
        # Two requests are expected to take two seconds each.
        group.admission.check("b", "interactive", waited_sec=1)
        with pytest.raises(Overloaded) as caught:
            group.admission.check("b", "interactive", waited_sec=2.5)
        assert caught.value.retry_after_sec == 2
        await group.finish("a1", "a2")
        # Nothing is ahead of it now.
        with group.admission.reserve("b", "interactive", waited_sec=4.5) as slot:
            group.now += 0.25
            await slot.wait()
            assert slot.waited_sec == 4.5


async def test_a_turn_is_not_awaited_for_longer_than_the_rest_of_the_wait() -> None:
    async with request_group(1, max_wait_sec=100) as group:
        await group.learn_short_holds()
        await group.start("a1")
        with (
            group.admission.reserve("b", "interactive", waited_sec=99.99) as slot,
            pytest.raises(Overloaded),
        ):
            await slot.wait()
        assert group.admission.rejections == {"waited_too_long": 1}


async def test_the_retry_time_follows_the_hold_times() -> None:
    async with request_group(1, max_wait_sec=0) as group:
        await group.start("a1")
        for held_sec, expected in ((100, 8), (100, 14), (2000, 18)):
            group.now += held_sec
            await group.finish("a1")
            await group.start("a1", "b1")
            # Each hold counts as 60 s at most, so that a single long one is soon forgotten.
            assert retry_after(group.refused["b1"]) == expected
            assert group.admission.num_waiting == 0
        # a1 has been running for 50 s, longer than the average.
        group.now += 50
        await group.start("c1")
        assert retry_after(group.refused["c1"]) == 50
        group.now += 500
        await group.start("d1")
        assert retry_after(group.refused["d1"]) == 120


async def test_callers_share_a_long_queue_fairly() -> None:
    async with request_group(1, max_wait_sec=10) as group:
        await group.start(*(f"a{index}" for index in range(9)), "b1")
        # a0 runs and five wait for up to 10 s; b1 goes after one of them.
        assert list(group.refused) == ["a6", "a7", "a8"]


async def test_the_length_of_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "MAX_WAITING", 3)
    async with request_group(1, max_wait_sec=1000) as group:
        await group.start("a1", "a2", "a3", "a4")
        await group.start("a5")
        assert list(group.refused) == ["a5"]
        # A caller with fewer requests evicts the newest one of the caller with the most.
        await group.start("b1")
        assert list(group.refused) == ["a5", "a4"]
        assert retry_after(group.refused["a4"]) >= 1
        assert group.admission.num_waiting == 3
        await group.start("b2")
        assert list(group.refused) == ["a5", "a4", "b2"]


async def test_each_caller_has_a_limit() -> None:
    async with request_group(1, max_per_caller=2) as group:
        await group.start("a1", "a2", "a3", "b1")
        assert isinstance(group.refused.pop("a3"), RateLimited)
        assert group.refused == {}
        await group.finish("a1")
        await group.start("a4")
        assert group.refused == {}
        assert group.admission.rejections == {"rate_limited": 1}


async def test_added_capacity_is_used_when_a_request_arrives() -> None:
    async with request_group(1) as group:
        await group.start("a1", "a2")
        group.num_streams = 3
        await group.start("a3")
        assert sorted(group.running) == ["a1", "a2", "a3"]


async def test_running_requests_keep_their_slots_when_capacity_shrinks() -> None:
    async with request_group(3) as group:
        await group.start("a1", "a2", "a3", "a4")
        group.num_streams = 1
        await group.finish("a1")
        assert group.running == ["a2", "a3"]
        await group.finish("a2", "a3")
        assert group.running == ["a4"]


async def test_closing_refuses_new_and_waiting_requests() -> None:
    async with request_group(1) as group:
        await group.start("a1", "a2")
        assert group.admission.is_open
        group.admission.close()
        await group.start("a3")
        assert [type(group.refused[name]) for name in ("a2", "a3")] == [ShuttingDown] * 2
        assert group.running == ["a1"]
        assert not group.admission.is_open
        with pytest.raises(ShuttingDown):
            group.admission.check("b", "bulk")


async def test_reading_is_open_counts_no_rejection() -> None:
    async with request_group(1, max_wait_sec=0) as group:
        await group.start("a1")
        assert not group.admission.is_open
        assert group.admission.rejections == {}


async def test_requests_that_arrive_at_once_are_refused_at_once() -> None:
    """All of them were planned first, which blocked the event loop and the pool for seconds."""
    admission = Admission(lambda: 2, max_wait_sec=2)
    num_refused = 0
    with ExitStack() as stack:
        slots = []
        for _ in range(20):
            try:
                slot = admission.reserve("a", "interactive", is_coming=True)
                slots.append(stack.enter_context(slot))
            except Overloaded:
                num_refused += 1
        # Two run, and a third would wait for three seconds.
        assert (len(slots), num_refused) == (2, 18)
        for each in slots:
            await each.wait()
        assert admission.num_running == 2
    assert admission.num_running == 0
    admission.check("a", "interactive")


async def test_coming_requests_do_not_delay_other_callers() -> None:
    """Sixty answers that a slow language model had not begun closed an idle server to everyone."""
    admission = Admission(lambda: 4, max_wait_sec=30)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(admission.reserve("a", "interactive", is_coming=True))
        with pytest.raises(Overloaded):
            admission.check("a", "interactive")
        admission.check("b", "interactive")
        assert admission.is_open
    admission.check("a", "interactive")

"""One request's slot, from its first chunk to its last."""

import asyncio

import pytest

from orpheus_server.errors import Overloaded, ShuttingDown
from orpheus_server.synthesis.admission import Admission
from orpheus_server.synthesis.engine_slot import SlotState
from tests.support.app import settle
from tests.support.request_group import request_group

pytestmark = pytest.mark.anyio


async def test_the_slot_is_given_back_with_the_last_chunk() -> None:
    admission = Admission(lambda: 1, max_wait_sec=1)
    with admission.reserve("a", "interactive") as slot:
        for _ in range(2):
            slot.add_chunk()
            await slot.wait()
        slot.end_chunk()
        assert (admission.num_running, admission.num_delivering) == (1, 0)
        slot.end_chunk()
        assert (admission.num_running, admission.num_delivering) == (0, 1)
        with admission.reserve("a", "interactive") as other:
            await other.wait()
            assert (admission.num_running, admission.num_delivering) == (1, 1)
    assert (admission.num_running, admission.num_delivering) == (0, 0)


async def test_a_slot_goes_through_its_states() -> None:
    async with request_group(1) as group:
        await group.start("a1")
        with group.admission.reserve("z", "interactive", is_coming=True) as slot:
            states = [slot.state]
            waiting = asyncio.create_task(slot.wait())
            await settle()
            states.append(slot.state)
            await group.finish("a1")
            await waiting
            states.append(slot.state)
            slot.give_back()
            states.append(slot.state)
        states.append(slot.state)
        assert states == [
            *(SlotState.COMING, SlotState.WAITING, SlotState.RUNNING),
            *(SlotState.PAUSED, SlotState.CLOSED),
        ]


async def test_a_called_slot_counts_as_running() -> None:
    async with request_group(1) as group:
        await group.start("a1")
        with group.admission.reserve("z", "interactive") as slot:
            waiting = asyncio.create_task(slot.wait())
            await settle()
            group.num_streams = 2
            group.admission.check("b", "interactive")
            assert slot.state is SlotState.CALLED
            assert (group.admission.num_running, group.admission.num_waiting) == (2, 0)
            await waiting
            assert (group.admission.num_running, group.admission.num_waiting) == (2, 0)


async def test_a_resumed_request_goes_ahead_of_all_new_ones() -> None:
    """A pause for a slow reader or writer does not send a request to the end of the queue."""
    async with request_group(1) as group:
        with group.admission.reserve("z", "interactive") as slot:
            await slot.wait()
            slot.add_chunk()
            slot.end_chunk()
            await group.start("a1", "a2", "a3")
            slot.add_chunk()
            resuming = asyncio.create_task(slot.wait())
            await settle()
            assert group.admission.num_waiting == 3
            await group.finish("a1")
            await resuming
            assert group.running == []
            slot.end_chunk()
            await settle()
            assert group.running == ["a2"]


async def test_a_resumed_request_is_never_refused() -> None:
    async with request_group(1, max_wait_sec=0) as group:
        with group.admission.reserve("z", "interactive") as slot:
            await slot.wait()
            slot.add_chunk()
            slot.end_chunk()
            await group.start("a1")
            slot.add_chunk()
            resuming = asyncio.create_task(slot.wait())
            await settle()
            group.admission.close()
            assert not resuming.done()
            await group.finish("a1")
            await resuming


async def test_a_cancelled_resumption_is_paused_again() -> None:
    async with request_group(1) as group:
        with group.admission.reserve("z", "interactive") as slot:
            await slot.wait()
            slot.give_back()
            await group.start("a1")
            resuming = asyncio.create_task(slot.wait())
            await settle()
            assert group.admission.num_delivering == 0
            resuming.cancel()
            await settle()
            assert slot.state is SlotState.PAUSED
            assert (group.admission.num_delivering, group.admission.num_waiting) == (1, 0)


async def test_two_chunks_wait_for_one_slot() -> None:
    async with request_group(1) as group:
        await group.start("a1")
        with group.admission.reserve("z", "interactive") as slot:
            waiting = [asyncio.create_task(slot.wait()) for _ in range(2)]
            await settle()
            assert group.admission.num_waiting == 1
            await group.finish("a1")
            await asyncio.gather(*waiting)
            assert group.admission.num_running == 1


async def test_a_refusal_applies_to_the_whole_request() -> None:
    async with request_group(1, max_wait_sec=0.01) as group:
        await group.learn_short_holds()
        await group.start("a1")
        with group.admission.reserve("z", "interactive") as slot:
            for _ in range(2):
                with pytest.raises(Overloaded):
                    await slot.wait()
        assert group.admission.rejections == {"waited_too_long": 1}


async def test_closing_admission_refuses_all_chunks_of_a_waiting_request() -> None:
    async with request_group(1) as group:
        await group.start("a1")
        with group.admission.reserve("z", "interactive") as slot:
            waiting = [asyncio.create_task(slot.wait()) for _ in range(2)]
            await settle()
            group.admission.close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(result) for result in results] == [ShuttingDown] * 2
            assert slot.state is SlotState.RESERVED
        assert group.admission.rejections == {"shutting_down": 1}


async def test_a_slot_that_is_closed_while_it_waits_takes_no_capacity() -> None:
    async with request_group(1) as group:
        await group.start("a1")
        with group.admission.reserve("z", "interactive") as slot:
            waiting = asyncio.create_task(slot.wait())
            await settle()
        assert group.admission.num_waiting == 0
        await group.start("b1")
        await group.finish("a1")
        await waiting
        assert group.running == ["b1"]
        assert slot.state is SlotState.CLOSED

"""Samples between who makes them and who plays them: in order, and taken back while they can be."""

import asyncio
import math
from contextlib import aclosing

import numpy as np
import pytest

from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.chunk_buffer import ChunkOutlet
from orpheus_server.synthesis.guard import Fault, Verdict
from orpheus_server.synthesis.job import ChunkReport
from tests.support.app import Listener, VirtualClock, settle

pytestmark = pytest.mark.anyio

REPORT = ChunkReport(
    num_prompt_tokens=17,
    num_output_tokens=113,
    num_dropped_symbols=0,
    num_attempts=1,
    verdict=Verdict(Fault.LOOP, 9, "period 1 frames, 12 times"),
)


def piece(*values: float) -> Samples:
    return np.array(values, dtype=np.float32)


def listen(outlet: ChunkOutlet, *, whole: bool = False) -> tuple[Listener, asyncio.Task[Samples]]:
    listener = Listener(outlet, whole=whole)
    return listener, asyncio.create_task(listener.listen())


async def test_pieces_come_in_order_as_they_are_put() -> None:
    outlet = ChunkOutlet()
    listener, listening = listen(outlet)
    await settle()
    assert (listener.pieces, outlet.is_heard) == ([], False)
    outlet.put(piece(1))
    await settle()
    assert listener.samples.tolist() == [1]
    outlet.put(piece(2, 3))
    outlet.put(piece(4))
    await settle()
    assert listener.samples.tolist() == [1, 2, 3, 4]
    outlet.put(piece(5))
    outlet.close(REPORT)
    assert (await listening).tolist() == [1, 2, 3, 4, 5]
    assert [part.size for part in listener.pieces] == [1, 2, 1, 1]
    assert outlet.report is REPORT


async def test_what_was_put_before_is_there() -> None:
    outlet = ChunkOutlet()
    outlet.put(piece(1))
    outlet.put(piece(2))
    outlet.close(REPORT)
    assert (await Listener(outlet).listen()).tolist() == [1, 2]


async def test_the_end_is_seen_by_who_already_waits() -> None:
    outlet = ChunkOutlet()
    listener, listening = listen(outlet)
    await settle()
    outlet.close(REPORT)
    assert (await listening).size == 0
    assert (listener.pieces, outlet.is_heard) == ([], False)


async def test_what_was_taken_stays_taken() -> None:
    """Not what was put: until somebody has it, a retry is free."""
    outlet = ChunkOutlet()
    outlet.put(piece(1, 2))
    outlet.put(piece(3))
    outlet.put(piece(4, 5))
    assert not outlet.is_heard
    async with aclosing(outlet.take(whole=False)) as pieces:
        assert (await anext(pieces)).tolist() == [1, 2]
        assert (outlet.is_heard, outlet.num_taken) == (True, 2)
        assert outlet.rewind().tolist() == [3, 4, 5]
        assert (outlet.is_heard, outlet.num_taken) == (True, 2)
        outlet.put(piece(6))
        assert (await anext(pieces)).tolist() == [6]
        assert outlet.num_taken == 3
        assert outlet.rewind().tolist() == []


async def test_rewinding_forgets_what_nobody_took() -> None:
    outlet = ChunkOutlet()
    outlet.put(piece(1, 1, 1))
    assert outlet.rewind().tolist() == [1, 1, 1]
    listener, listening = listen(outlet)
    await settle()
    assert (listener.pieces, outlet.is_heard) == ([], False)
    outlet.put(piece(2))
    outlet.close(REPORT)
    assert (await listening).tolist() == [2]


async def test_the_whole_is_taken_only_when_it_is_finished() -> None:
    """Every retry of a file is free."""
    outlet = ChunkOutlet()
    listener, listening = listen(outlet, whole=True)
    for value in (1, 2):
        outlet.put(piece(value))
        await settle()
        assert (listener.pieces, outlet.is_heard) == ([], False)
    outlet.rewind()
    outlet.put(piece(3))
    outlet.put(piece(4))
    await settle()
    assert not outlet.is_heard
    outlet.close(REPORT)
    assert (await listening).tolist() == [3, 4]
    assert outlet.is_heard


async def test_a_failure_comes_after_what_was_made() -> None:
    outlet = ChunkOutlet()
    listener, listening = listen(outlet)
    outlet.put(piece(1))
    await settle()
    outlet.put(piece(2))
    outlet.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listening
    assert listener.samples.tolist() == [1, 2]


async def test_a_failure_while_a_piece_is_in_hand_is_told() -> None:
    outlet = ChunkOutlet()
    outlet.put(piece(1))
    async with aclosing(outlet.take(whole=False)) as pieces:
        await anext(pieces)
        outlet.fail(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await anext(pieces)


async def test_a_failure_leaves_nothing_of_a_whole() -> None:
    outlet = ChunkOutlet()
    listener, listening = listen(outlet, whole=True)
    outlet.put(piece(1))
    await settle()
    outlet.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listening
    assert (listener.pieces, outlet.is_heard) == ([], False)


async def test_a_failure_wakes_who_waits() -> None:
    outlet = ChunkOutlet()
    _, listening = listen(outlet)
    await settle()
    outlet.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listening


async def test_who_leaves_early_leaves_the_rest() -> None:
    outlet = ChunkOutlet()
    _, listening = listen(outlet)
    await settle()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert not outlet.is_heard
    outlet.put(piece(1))
    outlet.close(REPORT)
    assert (await Listener(outlet).listen()).tolist() == [1]


async def test_the_next_chunk_may_begin_when_this_one_has_what_was_expected() -> None:
    outlet = ChunkOutlet()
    following = ChunkOutlet(may_begin=outlet.is_nearly_made)
    outlet.num_expected = 3
    outlet.put(piece(1, 2))
    assert not outlet.is_nearly_made.is_set()
    outlet.rewind()
    outlet.put(piece(1, 2))
    assert not outlet.is_nearly_made.is_set()
    outlet.put(piece(3))
    assert following.may_begin is outlet.is_nearly_made
    assert outlet.is_nearly_made.is_set()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_chunk_that_came_shorter_holds_up_nothing(fails: bool) -> None:
    outlet = ChunkOutlet()
    outlet.put(piece(1, 2))
    assert not outlet.is_nearly_made.is_set()
    if fails:
        outlet.fail(RuntimeError("lost"))
    else:
        outlet.close(REPORT)
    assert outlet.is_nearly_made.is_set()


class TestHold:
    """What may yet turn out to be the beginning of a loop stays until it is due."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def held_outlet(self, clock: VirtualClock) -> ChunkOutlet:
        """Each sample is 1 s of sound, and 1 s ahead is allowed."""
        start_sec = clock.now_sec

        def hold_sec() -> float:
            return start_sec + outlet.num_taken - 1.0 - clock.now_sec

        outlet = ChunkOutlet(hold_sec=hold_sec, call_later=clock.call_later)
        return outlet

    async def test_it_goes_when_it_is_due(
        self, clock: VirtualClock, held_outlet: ChunkOutlet
    ) -> None:
        listener, listening = listen(held_outlet)
        for value in range(4):
            held_outlet.put(piece(value))
        for num_heard in (2, 3, 4):
            await settle()
            assert listener.samples.tolist() == list(range(num_heard))
            clock.advance(0.5)
            await settle()
            assert len(listener.pieces) == num_heard
            clock.advance(0.5)
        held_outlet.close(REPORT)
        await listening
        assert clock.num_waiting == 0

    async def test_all_of_it_goes_at_the_end(
        self, clock: VirtualClock, held_outlet: ChunkOutlet
    ) -> None:
        """A download is as fast as the speech is made."""
        _, listening = listen(held_outlet)
        for value in range(9):
            held_outlet.put(piece(value))
        await settle()
        assert (held_outlet.num_taken, clock.num_waiting) == (2, 1)
        held_outlet.close(REPORT)
        assert (await listening).tolist() == list(range(9))
        assert (clock.now_sec, clock.num_waiting) == (100.0, 0)

    async def test_what_is_due_waits_for_nothing(
        self, clock: VirtualClock, held_outlet: ChunkOutlet
    ) -> None:
        listener, listening = listen(held_outlet)
        for value in range(5):
            clock.advance(1.0)
            held_outlet.put(piece(value))
            await settle()
            assert len(listener.pieces) == value + 1
        held_outlet.close(REPORT)
        await listening
        assert clock.timers == []

    async def test_what_was_held_is_forgotten(
        self, clock: VirtualClock, held_outlet: ChunkOutlet
    ) -> None:
        """The listener hears what took its place, when that is due."""
        listener, listening = listen(held_outlet)
        for value in range(4):
            held_outlet.put(piece(value))
        await settle()
        assert held_outlet.rewind().tolist() == [2, 3]
        clock.advance(5.0)
        await settle()
        assert len(listener.pieces) == 2
        held_outlet.put(piece(7))
        held_outlet.close(REPORT)
        assert (await listening).tolist() == [0, 1, 7]

    async def test_who_leaves_leaves_no_timer(
        self, clock: VirtualClock, held_outlet: ChunkOutlet
    ) -> None:
        _, listening = listen(held_outlet)
        for value in range(4):
            held_outlet.put(piece(value))
        await settle()
        assert clock.num_waiting == 1
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert clock.num_waiting == 0

    async def test_a_whole_waits_for_its_end_alone(self, clock: VirtualClock) -> None:
        outlet = ChunkOutlet(hold_sec=lambda: math.inf, call_later=clock.call_later)
        _, listening = listen(outlet, whole=True)
        outlet.put(piece(1))
        outlet.put(piece(2))
        await settle()
        outlet.close(REPORT)
        assert (await listening).tolist() == [1, 2]
        assert clock.timers == []

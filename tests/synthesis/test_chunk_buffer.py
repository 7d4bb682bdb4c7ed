"""Samples between the attempts and the player: kept in order, and withdrawn while untaken."""

import asyncio
import math
from contextlib import aclosing

import numpy as np
import pytest

from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
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


def listen(buffer: ChunkBuffer, *, whole: bool = False) -> tuple[Listener, asyncio.Task[Samples]]:
    listener = Listener(buffer, whole=whole)
    return listener, asyncio.create_task(listener.listen())


async def test_pieces_are_taken_in_order_while_they_are_put() -> None:
    buffer = ChunkBuffer()
    listener, listening = listen(buffer)
    await settle()
    assert (listener.pieces, buffer.is_heard) == ([], False)
    buffer.put(piece(1))
    await settle()
    assert listener.samples.tolist() == [1]
    buffer.put(piece(2, 3))
    buffer.put(piece(4))
    await settle()
    assert listener.samples.tolist() == [1, 2, 3, 4]
    buffer.put(piece(5))
    buffer.close(REPORT)
    assert (await listening).tolist() == [1, 2, 3, 4, 5]
    assert [part.size for part in listener.pieces] == [1, 2, 1, 1]
    assert buffer.report is REPORT


async def test_pieces_that_were_put_before_the_reader_came_are_taken() -> None:
    buffer = ChunkBuffer()
    buffer.put(piece(1))
    buffer.put(piece(2))
    buffer.close(REPORT)
    assert (await Listener(buffer).listen()).tolist() == [1, 2]


async def test_the_end_wakes_a_waiting_reader() -> None:
    buffer = ChunkBuffer()
    listener, listening = listen(buffer)
    await settle()
    buffer.close(REPORT)
    assert (await listening).size == 0
    assert (listener.pieces, buffer.is_heard) == ([], False)


async def test_taken_samples_cannot_be_withdrawn() -> None:
    """Samples that were only put can be: until they are taken, a retry is free."""
    buffer = ChunkBuffer()
    buffer.put(piece(1, 2))
    buffer.put(piece(3))
    buffer.put(piece(4, 5))
    assert not buffer.is_heard
    async with aclosing(buffer.take(whole=False)) as pieces:
        assert (await anext(pieces)).tolist() == [1, 2]
        assert (buffer.is_heard, buffer.num_taken) == (True, 2)
        assert buffer.rewind().tolist() == [3, 4, 5]
        assert (buffer.is_heard, buffer.num_taken) == (True, 2)
        buffer.put(piece(6))
        assert (await anext(pieces)).tolist() == [6]
        assert buffer.num_taken == 3
        assert buffer.rewind().tolist() == []


async def test_rewinding_drops_untaken_samples() -> None:
    buffer = ChunkBuffer()
    buffer.put(piece(1, 1, 1))
    assert buffer.rewind().tolist() == [1, 1, 1]
    listener, listening = listen(buffer)
    await settle()
    assert (listener.pieces, buffer.is_heard) == ([], False)
    buffer.put(piece(2))
    buffer.close(REPORT)
    assert (await listening).tolist() == [2]


async def test_a_whole_chunk_is_taken_only_when_it_is_finished() -> None:
    """Every retry of a file is free."""
    buffer = ChunkBuffer()
    listener, listening = listen(buffer, whole=True)
    for value in (1, 2):
        buffer.put(piece(value))
        await settle()
        assert (listener.pieces, buffer.is_heard) == ([], False)
    buffer.rewind()
    buffer.put(piece(3))
    buffer.put(piece(4))
    await settle()
    assert not buffer.is_heard
    buffer.close(REPORT)
    assert (await listening).tolist() == [3, 4]
    assert buffer.is_heard


async def test_a_failure_is_raised_after_the_samples_before_it() -> None:
    buffer = ChunkBuffer()
    listener, listening = listen(buffer)
    buffer.put(piece(1))
    await settle()
    buffer.put(piece(2))
    buffer.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listening
    assert listener.samples.tolist() == [1, 2]


async def test_a_failure_while_the_reader_has_a_piece_is_raised() -> None:
    buffer = ChunkBuffer()
    buffer.put(piece(1))
    async with aclosing(buffer.take(whole=False)) as pieces:
        await anext(pieces)
        buffer.fail(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await anext(pieces)


async def test_nothing_of_a_whole_chunk_is_taken_if_it_fails() -> None:
    buffer = ChunkBuffer()
    listener, listening = listen(buffer, whole=True)
    buffer.put(piece(1))
    await settle()
    buffer.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listening
    assert (listener.pieces, buffer.is_heard) == ([], False)


async def test_a_failure_wakes_a_waiting_reader() -> None:
    buffer = ChunkBuffer()
    _, listening = listen(buffer)
    await settle()
    buffer.fail(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await listening


async def test_a_cancelled_reader_takes_nothing() -> None:
    buffer = ChunkBuffer()
    _, listening = listen(buffer)
    await settle()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert not buffer.is_heard
    buffer.put(piece(1))
    buffer.close(REPORT)
    assert (await Listener(buffer).listen()).tolist() == [1]


async def test_it_reports_when_it_has_its_expected_length() -> None:
    num_samples: list[int] = []
    buffer = ChunkBuffer(on_nearly_made=lambda: num_samples.append(buffer.num_samples))
    buffer.num_expected = 3
    buffer.put(piece(1, 2))
    buffer.rewind()
    buffer.put(piece(1, 2))
    assert num_samples == []
    buffer.put(piece(3, 4))
    buffer.put(piece(5))
    assert num_samples == [4]


class TestHold:
    """Samples that may be the start of a loop are held until they are due."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def held_buffer(self, clock: VirtualClock) -> ChunkBuffer:
        """Each sample is 1 s of audio, and 1 s may be taken ahead."""
        start_sec = clock.now_sec

        def hold_sec() -> float:
            return start_sec + buffer.num_taken - 1.0 - clock.now_sec

        buffer = ChunkBuffer(hold_sec=hold_sec, call_later=clock.call_later)
        return buffer

    async def test_samples_are_taken_when_they_are_due(
        self, clock: VirtualClock, held_buffer: ChunkBuffer
    ) -> None:
        listener, listening = listen(held_buffer)
        for value in range(4):
            held_buffer.put(piece(value))
        for num_heard in (2, 3, 4):
            await settle()
            assert listener.samples.tolist() == list(range(num_heard))
            clock.advance(0.5)
            await settle()
            assert len(listener.pieces) == num_heard
            clock.advance(0.5)
        held_buffer.close(REPORT)
        await listening
        assert clock.num_waiting == 0

    async def test_all_samples_are_taken_at_the_end(
        self, clock: VirtualClock, held_buffer: ChunkBuffer
    ) -> None:
        """A download is as fast as the generation."""
        _, listening = listen(held_buffer)
        for value in range(9):
            held_buffer.put(piece(value))
        await settle()
        assert (held_buffer.num_taken, clock.num_waiting) == (2, 1)
        held_buffer.close(REPORT)
        assert (await listening).tolist() == list(range(9))
        assert (clock.now_sec, clock.num_waiting) == (100.0, 0)

    async def test_due_samples_are_not_held(
        self, clock: VirtualClock, held_buffer: ChunkBuffer
    ) -> None:
        listener, listening = listen(held_buffer)
        for value in range(5):
            clock.advance(1.0)
            held_buffer.put(piece(value))
            await settle()
            assert len(listener.pieces) == value + 1
        held_buffer.close(REPORT)
        await listening
        assert clock.timers == []

    async def test_held_samples_are_dropped_by_rewinding(
        self, clock: VirtualClock, held_buffer: ChunkBuffer
    ) -> None:
        """The listener hears their replacement when it is due."""
        listener, listening = listen(held_buffer)
        for value in range(4):
            held_buffer.put(piece(value))
        await settle()
        assert held_buffer.rewind().tolist() == [2, 3]
        clock.advance(5.0)
        await settle()
        assert len(listener.pieces) == 2
        held_buffer.put(piece(7))
        held_buffer.close(REPORT)
        assert (await listening).tolist() == [0, 1, 7]

    async def test_a_cancelled_reader_leaves_no_timer(
        self, clock: VirtualClock, held_buffer: ChunkBuffer
    ) -> None:
        _, listening = listen(held_buffer)
        for value in range(4):
            held_buffer.put(piece(value))
        await settle()
        assert clock.num_waiting == 1
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert clock.num_waiting == 0

    async def test_a_whole_chunk_waits_only_for_its_end(self, clock: VirtualClock) -> None:
        buffer = ChunkBuffer(hold_sec=lambda: math.inf, call_later=clock.call_later)
        _, listening = listen(buffer, whole=True)
        buffer.put(piece(1))
        buffer.put(piece(2))
        await settle()
        buffer.close(REPORT)
        assert (await listening).tolist() == [1, 2]
        assert clock.timers == []

"""Streams in which a chunk fails after some of its samples were sent."""

import asyncio
import math
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial

import pytest

from orpheus_server.fakes import Script
from orpheus_server.synthesis.job import AudioPiece, SpeechStats
from orpheus_server.text.front_end import PreparedText
from tests.support.app import (
    PARAMS,
    Bench,
    VirtualClock,
    heard_of,
    held_script,
    kept_ids_of,
    loop_script,
    short_script,
    speech_from,
    speech_ids,
    wait_for,
)
from tests.support.synthesis import (
    FADE,
    FRAME,
    PREPARED_CHUNK,
    RATE,
    build,
    collect,
    data_of,
    has_size,
    job_of,
    listen,
    pcm_of,
)


@pytest.mark.anyio
class TestRollback:
    """The stream has already started when a chunk fails, and the fault stays inaudible."""

    # 1 s is 11.7 frames: the twelfth piece is the last one that starts within it.
    NUM_AHEAD = 12

    def script_loop(self, bench: Bench, gate: asyncio.Event) -> None:
        """Scripts 20 frames and a loop, and the other 9 frames once the gate opens."""
        bench.scripts["r-0-1"] = loop_script(20)
        bench.scripts["r-0-2"] = held_script(speech_from(20, 29), gate)

    async def test_a_loop_is_not_heard(self, bench: Bench) -> None:
        """It was sent as it was generated, and the stream ended without the rest of the text."""
        clock, gate, stats = VirtualClock(), asyncio.Event(), SpeechStats()
        self.script_loop(bench, gate)
        pieces: list[AudioPiece] = []
        task = asyncio.create_task(listen(build(bench, clock=clock), job_of(1), stats, pieces))
        await wait_for(lambda: len(bench.engine.requests) == 2)
        await bench.settle()
        # The number of pieces depends on how quickly they are taken: some are joined.
        assert 0 < len(data_of(pieces)) <= 20 * bench.decoder.samples_per_frame * 2
        gate.set()
        await task
        assert data_of(pieces) == pcm_of(await heard_of(short_script(29)))
        assert kept_ids_of(bench.engine.requests[1]) == speech_ids(20)
        assert (stats.num_chunks, stats.num_attempts, stats.degraded_chunks) == (1, 2, [])
        assert stats.num_output_tokens == 31 * 7 + 9 * 7 + 1
        assert clock.num_waiting == 0

    async def test_held_samples_are_sent_when_they_are_due(self, bench: Bench) -> None:
        clock, gate = VirtualClock(), asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(29), gate, num_free_frames=25)
        pieces: list[AudioPiece] = []
        task = asyncio.create_task(
            listen(build(bench, clock=clock), job_of(1), SpeechStats(), pieces)
        )
        for num_more in range(1, 10):
            await wait_for(lambda: clock.num_waiting == 1)
            await bench.settle()
            assert len(pieces) == self.NUM_AHEAD + num_more - 1
            clock.advance(FRAME / RATE)
            await bench.settle()
            assert len(pieces) == self.NUM_AHEAD + num_more
        # The chunk has ended, so the rest of it is sent without waiting.
        gate.set()
        await task
        assert data_of(pieces) == pcm_of(await heard_of(short_script(29)))

    @pytest.mark.parametrize("speed", [0.5, 1.5])
    async def test_the_second_ahead_is_measured_in_playback_time(
        self, bench: Bench, speed: float
    ) -> None:
        clock, gate = VirtualClock(), asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(29), gate, num_free_frames=25)
        pieces: list[AudioPiece] = []
        job = job_of(1, params=replace(PARAMS, speed=speed))
        task = asyncio.create_task(listen(build(bench, clock=clock), job, SpeechStats(), pieces))
        await wait_for(lambda: clock.num_waiting == 1)
        await bench.settle()
        assert len(pieces) == math.ceil((speed * RATE + FADE) / FRAME)
        gate.set()
        await task

    async def test_speech_that_is_generated_just_in_time_is_not_held(self, bench: Bench) -> None:
        clock, gate, pieces = VirtualClock(), asyncio.Event(), list[AudioPiece]()
        bench.scripts["r-0-1"] = StepScript(short_script(29).token_ids, gate=gate)
        task = asyncio.create_task(
            listen(build(bench, clock=clock), job_of(1), SpeechStats(), pieces)
        )
        for num_heard in range(1, 30):
            gate.set()
            await wait_for(partial(has_size, pieces, num_heard))
            clock.advance(FRAME / RATE)
        # The stop, and the end of the script.
        for _ in range(2):
            gate.set()
            await bench.settle()
        await task
        assert clock.timers == []

    async def test_a_chunk_after_late_text_is_held_too(self, bench: Bench) -> None:
        """The player had run dry long before, and all later audio counted as overdue."""
        clock, gate, text_gate = VirtualClock(), asyncio.Event(), asyncio.Event()
        bench.scripts["r-1-1"] = held_script(short_script(29), gate, num_free_frames=25)

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            yield PREPARED_CHUNK
            await text_gate.wait()
            yield PREPARED_CHUNK

        pieces: list[AudioPiece] = []
        task = asyncio.create_task(
            listen(build(bench, clock=clock), job_of(chunks()), SpeechStats(), pieces)
        )
        await wait_for(lambda: len(pieces) == 17)
        clock.advance(60.0)
        text_gate.set()
        await wait_for(lambda: clock.num_waiting == 1)
        await bench.settle()
        assert len(pieces) == 17 + self.NUM_AHEAD
        gate.set()
        await task

    async def test_a_file_is_not_held(self, bench: Bench) -> None:
        clock = VirtualClock()
        await collect(build(bench, clock=clock), job_of(3))
        assert clock.timers == []


class StepScript(Script):
    """Waits for the gate at each frame, and closes it again."""

    async def pass_gate(self) -> None:
        assert self.gate is not None
        await self.gate.wait()
        self.gate.clear()

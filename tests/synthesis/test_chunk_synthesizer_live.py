"""A chunk that is streamed while it is generated."""

import asyncio
from collections import Counter

import numpy as np
import pytest

from orpheus_server.errors import ChunkFailed, EngineDead
from orpheus_server.fakes import Script
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
from orpheus_server.synthesis.guard import Fault, Verdict
from tests.support.app import (
    Bench,
    Listener,
    heard_of,
    held_script,
    join_pieces,
    loop_script,
    short_script,
    speech_ids,
    wait_for,
)
from tests.support.chunks import (
    BAD_SCRIPTS,
    JOB,
    NOISE_SEED,
    Live,
    build_chunk_synthesizer,
    fail_all,
)

pytestmark = pytest.mark.anyio


class TestLive:
    """Samples that the listener has heard cannot be withdrawn."""

    async def test_audio_is_sent_before_the_last_token(self, bench: Bench) -> None:
        gate = asyncio.Event()
        bench.scripts["r-3-1"] = held_script(short_script(29), gate, num_free_frames=3)
        live = Live(build_chunk_synthesizer(bench))
        task = asyncio.create_task(live.run())
        await wait_for(lambda: len(live.listener.pieces) == 3)
        assert live.buffer.is_heard
        gate.set()
        np.testing.assert_array_equal(await task, await heard_of(short_script(29)))
        assert (live.buffer.report.num_attempts, live.buffer.report.verdict) == (1, None)

    @pytest.mark.parametrize("is_decoded", [False, True])
    async def test_a_retry_before_any_audio_is_not_heard(
        self, bench: Bench, is_decoded: bool
    ) -> None:
        if is_decoded:
            bench.decoder.results.append(np.full(29 * 2048, np.nan, np.float32))
        else:
            bench.scripts["r-3-1"] = short_script(0)
        live = Live(build_chunk_synthesizer(bench))
        heard = await live.run()
        np.testing.assert_array_equal(heard, await heard_of(short_script(30)))
        assert (live.buffer.report.num_attempts, live.buffer.report.verdict) == (2, None)

    async def test_a_retry_before_the_listener_reads_is_not_heard(self, bench: Bench) -> None:
        """The buffer holds 19 frames of the first attempt when it fails."""
        gate = asyncio.Event()
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = held_script(short_script(25), gate)
        buffer = ChunkBuffer()
        speaking = asyncio.create_task(build_chunk_synthesizer(bench).speak(JOB, buffer))
        await wait_for(lambda: len(bench.engine.requests) == 2)
        listener = Listener(buffer)
        listening = asyncio.create_task(listener.listen())
        await bench.settle()
        assert (listener.pieces, buffer.is_heard) == ([], False)
        gate.set()
        buffer.close(await speaking)
        np.testing.assert_array_equal(await listening, await heard_of(short_script(25)))
        assert (buffer.report.num_attempts, buffer.report.verdict) == (2, None)

    @pytest.mark.parametrize(
        ("fault", "num_good_frames", "num_heard_frames"),
        [(Fault.TOKEN_LIMIT, 40, 40), (Fault.BAD_TOKENS, 0, 20)],
    )
    async def test_a_fault_after_which_no_attempt_can_resume_ends_the_chunk(
        self, bench: Bench, fault: Fault, num_good_frames: int, num_heard_frames: int
    ) -> None:
        script = bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        chunk_synthesizer = build_chunk_synthesizer(bench)
        live = Live(chunk_synthesizer)
        heard = await live.run()
        expected = await heard_of(script, num_frames=num_heard_frames)
        np.testing.assert_array_equal(heard, expected)
        verdict = live.buffer.report.verdict
        assert verdict is not None
        assert (verdict.fault, verdict.num_good_frames) == (fault, num_good_frames)
        assert live.buffer.report.num_attempts == len(bench.engine.requests) == 1
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.faults == Counter({fault: 1})
        assert chunk_synthesizer.counts.rollbacks == Counter()

    @pytest.mark.parametrize("fault", [Fault.LOOP, Fault.TOKEN_LIMIT])
    async def test_degraded_audio_is_not_allowed(self, bench: Bench, fault: Fault) -> None:
        script = bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        chunk_synthesizer = build_chunk_synthesizer(bench, may_be_degraded=False)
        live = Live(chunk_synthesizer)
        with pytest.raises(ChunkFailed, match="could not be spoken in 1 attempts"):
            await live.run()
        heard = await heard_of(script)
        np.testing.assert_array_equal(live.listener.samples, heard[: live.buffer.num_taken])
        assert live.buffer.num_taken > 0
        assert chunk_synthesizer.counts.num_degraded_chunks == 0

    async def test_engine_death_is_raised_after_the_generated_audio(self, bench: Bench) -> None:
        error = EngineDead("core is gone")
        bench.scripts["r-3-1"] = Script(speech_ids(20), error=error, fail_at=70)
        live = Live(build_chunk_synthesizer(bench))
        with pytest.raises(EngineDead, match="core is gone"):
            await live.run()
        heard = await heard_of(short_script(10))
        np.testing.assert_array_equal(live.listener.samples, heard[:-120])
        assert len(bench.engine.requests) == 1

    async def test_halves_are_sent_only_when_both_are_good(self, bench: Bench) -> None:
        """The second half cannot be retried alone, and the first must not be heard twice."""
        bench.scripts.update({f"r-3-{number}": short_script(0) for number in (1, 2, 3)})
        gate = asyncio.Event()
        bench.scripts["r-3-4-0"] = short_script(15)
        bench.scripts["r-3-4-1"] = held_script(short_script(0), gate)
        bench.scripts["r-3-5-0"], bench.scripts["r-3-5-1"] = short_script(14), short_script(13)
        live = Live(build_chunk_synthesizer(bench))
        task = asyncio.create_task(live.run())
        await wait_for(lambda: bench.decoder.calls == [(15, NOISE_SEED)])
        await bench.settle()
        assert not live.buffer.is_heard
        gate.set()
        heard = [await heard_of(short_script(num)) for num in (14, 13)]
        np.testing.assert_array_equal(await task, join_pieces(heard))
        assert (live.buffer.report.num_attempts, live.buffer.report.verdict) == (5, None)

    async def test_the_best_of_attempts_that_were_not_heard(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-2"] = loop_script(20)
        buffer = ChunkBuffer()
        buffer.close(await build_chunk_synthesizer(bench).speak(JOB, buffer))
        heard = await Listener(buffer).listen()
        np.testing.assert_array_equal(heard, await heard_of(loop_script(20), num_frames=20))
        assert buffer.report.verdict == Verdict(Fault.LOOP, 20, "period 1 frames, 12 times")
        assert buffer.report.num_output_tokens == 31 * 7 + 6

"""An attempt that resumes within the audio of one that failed."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from orpheus_server.errors import GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.attempt import Attempt, AttemptJob
from orpheus_server.synthesis.guard import Fault, Verdict
from tests.support.app import (
    PARAMS,
    POCKET,
    Bench,
    garbled_script,
    heard_of,
    held_script,
    join_pieces,
    loop_script,
    runaway_script,
    short_script,
    speech_from,
    speech_ids,
    wait_for,
)
from tests.support.attempts import FADE, FRAME, JOB, Heard, fail

pytestmark = pytest.mark.anyio


async def resume(
    bench: Bench, heard: Heard, script: Script, *, num_frames: int, job: AttemptJob = JOB
) -> tuple[Attempt, Samples]:
    """Returns an attempt that keeps `num_frames` frames of a failed one, and all audio heard."""
    pieces = [heard.heard]
    bench.engine.enqueue(script)
    attempt = await bench.runner.run(job, pieces.append, heard.resume_point(num_frames))
    return attempt, join_pieces(pieces)


class TestResume:
    async def test_the_engine_gets_the_frames_that_are_kept(self, bench: Bench) -> None:
        heard = await fail(bench, loop_script(9), num_taken=5 * FRAME)
        job = replace(JOB, request_id="r2", params=replace(PARAMS, seed=8))
        await resume(bench, heard, speech_from(8, 20), num_frames=8, job=job)
        first, second = bench.engine.requests
        assert second == replace(
            first,
            request_id="r2",
            prompt_token_ids=(*first.prompt_token_ids, *speech_ids(8)),
            max_tokens=first.max_tokens - 8 * 7,
            seed=8,
        )

    @pytest.mark.parametrize("num_taken", [1, FRAME - FADE, 5000, 9 * FRAME - 240])
    async def test_the_listener_hears_one_utterance(self, bench: Bench, num_taken: int) -> None:
        """Its samples equal those of all frames decoded in a row, however much was heard before."""
        heard = await fail(bench, loop_script(9), num_taken=num_taken)
        attempt, audio = await resume(bench, heard, speech_from(9, 29), num_frames=9)
        assert attempt.verdict is None
        assert (len(attempt.frames), attempt.num_good_frames) == (29, 29)
        assert attempt.num_output_tokens == 20 * 7 + 1
        assert attempt.num_prompt_tokens == 32
        np.testing.assert_array_equal(audio, await heard_of(short_script(29)))

    async def test_held_frames_are_emitted_before_the_first_token(self, bench: Bench) -> None:
        """The player has only a second of audio left, and the engine first reads a long prompt."""
        heard = await fail(bench, loop_script(9), num_taken=3 * FRAME)
        gate = asyncio.Event()
        bench.engine.enqueue(held_script(speech_from(9, 29), gate))
        pieces: list[Samples] = []
        task = asyncio.create_task(bench.runner.run(JOB, pieces.append, heard.resume_point(9)))
        await wait_for(lambda: len(bench.engine.requests) == 2)
        assert [piece.size for piece in pieces] == [6 * FRAME - FADE]
        gate.set()
        await task

    async def test_new_speech_follows_a_loop_that_was_heard(self, bench: Bench) -> None:
        """All frames after the good ones are heard; the loop fades into them over 10 ms."""
        num_taken = 12 * FRAME
        heard = await fail(bench, loop_script(9), num_taken=num_taken)
        _, audio = await resume(bench, heard, speech_from(9, 29), num_frames=9)
        speech = await heard_of(short_script(29))
        loop = await heard_of(loop_script(9), num_frames=19)
        assert audio.size == num_taken + 20 * FRAME
        np.testing.assert_array_equal(audio[:num_taken], loop[:num_taken])
        np.testing.assert_array_equal(audio[num_taken + 240 :], speech[9 * FRAME + 240 :])
        old = loop[num_taken : num_taken + 240]
        new = speech[9 * FRAME : 9 * FRAME + 240]
        weight = np.arange(240) / 240
        assert audio[num_taken : num_taken + 240] == pytest.approx(
            (1 - weight) * old + weight * new, abs=1e-6
        )
        assert np.abs(np.diff(audio)).max() <= np.abs(np.diff(speech)).max()

    async def test_the_guard_checks_the_whole_utterance(self, bench: Bench) -> None:
        """The five frames of the loop that were kept count towards the next loop."""
        heard = await fail(bench, loop_script(9), num_taken=FRAME)
        assert len(heard.attempt.frames) == 20
        last = Script((*speech_ids(9)[-7:] * 40,), hangs_at_end=True)
        attempt, _ = await resume(bench, heard, last, num_frames=14)
        assert attempt.verdict == Verdict(Fault.LOOP, 9, "period 1 frames, 12 times")
        assert len(attempt.frames) == 20
        # Kept frames count towards the longest length too: 108 frames, of which 9 were kept.
        runaway = replace(runaway_script(), token_ids=runaway_script().token_ids[9 * 7 :])
        attempt, _ = await resume(bench, heard, runaway, num_frames=9)
        assert attempt.verdict == Verdict(Fault.RUNAWAY, 107, "108 frames for an expected 29")
        assert attempt.num_output_tokens == 99 * 7

    async def test_the_callers_own_limit_covers_the_whole_utterance(self, bench: Bench) -> None:
        sampling = replace(POCKET.sampling, max_tokens=210)
        job = replace(JOB, params=replace(PARAMS, sampling=sampling))
        heard = await fail(bench, loop_script(9), num_taken=FRAME, job=job)
        attempt, audio = await resume(bench, heard, speech_from(9, 50), num_frames=9, job=job)
        assert [request.max_tokens for request in bench.engine.requests] == [210, 210 - 9 * 7]
        assert attempt.verdict is None
        np.testing.assert_array_equal(audio, await heard_of(short_script(30)))

    async def test_the_share_of_tokens_out_of_place_is_that_of_the_new_tokens(
        self, bench: Bench
    ) -> None:
        heard = await fail(bench, loop_script(9), num_taken=FRAME)
        attempt, _ = await resume(bench, heard, garbled_script(20, num_missing=15), num_frames=9)
        assert attempt.verdict == Verdict(Fault.BAD_TOKENS, 0, "15 of 140 tokens out of place")

    async def test_the_context_is_full(self, bench: Bench) -> None:
        bench.engine.max_model_len = 35 + 140
        script = Script(speech_ids(20), error=GenerationFailed("lost"), fail_at=139)
        heard = await fail(bench, script, num_taken=FRAME)
        attempt, audio = await resume(bench, heard, short_script(9), num_frames=20)
        assert attempt.verdict == Verdict(Fault.ENGINE_ERROR, 0, "175 tokens do not fit")
        assert audio.size == 20 * FRAME - FADE

    async def test_audio_before_a_codec_failure_stays_good(self, bench: Bench) -> None:
        script = Script(speech_ids(20), error=GenerationFailed("lost"), fail_at=139)
        heard = await fail(bench, script, num_taken=FRAME)
        bench.decoder.results.append(GenerationFailed("no memory"))
        attempt, audio = await resume(bench, heard, speech_from(20, 29), num_frames=20)
        assert attempt.verdict == Verdict(Fault.DECODE_ERROR, 0, "no memory")
        assert audio.size == 20 * FRAME - FADE
        # The next attempt decodes the frame that this one could not.
        again = Heard(attempt, audio, num_taken=2 * FRAME)
        assert len(attempt.frames) == 21
        _, audio = await resume(bench, again, speech_from(21, 29), num_frames=21)
        np.testing.assert_array_equal(audio, await heard_of(short_script(29)))

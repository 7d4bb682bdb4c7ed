"""One attempt at one text, fault by fault; the engine is scripted and the codec generates tones."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from orpheus_server.audio.samples import empty
from orpheus_server.checkpoints.checkpoint import ShortestSpeech
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.interfaces import Samples, TokenRequest
from orpheus_server.synthesis.attempt import AttemptRunner, join_halves
from orpheus_server.synthesis.guard import Fault, Verdict
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    build_prompts,
    endless_script,
    garbled_script,
    heard_of,
    held_script,
    join_pieces,
    loop_script,
    open_bench,
    runaway_script,
    short_script,
    speech_ids,
    stall_script,
    wait_for,
)
from tests.support.attempts import FADE, FRAME, JOB, Heard, fail, ignore, run

pytestmark = pytest.mark.anyio


async def run_and_conclude(
    bench: Bench, script: Script, *, num_frames: int, num_taken: int = 5000
) -> Samples:
    """Returns all audio of a failed attempt that is concluded after `num_frames` frames."""
    heard = await fail(bench, script, num_taken=num_taken)
    pieces = [heard.heard]
    await bench.runner.conclude(JOB, pieces.append, heard.resume_point(num_frames))
    return join_pieces(pieces)


async def test_a_good_attempt_has_all_samples_of_all_frames(bench: Bench) -> None:
    attempt, emitted = await run(bench, short_script(29))
    assert attempt.verdict is None
    assert len(attempt.frames) == attempt.num_good_frames == 29
    assert emitted.size == 29 * FRAME
    np.testing.assert_array_equal(emitted, await heard_of(short_script(29)))
    assert attempt.num_output_tokens == 29 * 7 + 1
    assert attempt.num_prompt_tokens == 32  # the voice's own token, and 31 phonemes
    assert bench.decoder.calls == [(29, 99)]
    assert bench.engine.num_aborted == 0


async def test_a_half_without_speech_is_not_generated(bench: Bench) -> None:
    """Its prompt had no text: the model invented speech, and the chunk was retried."""
    pieces: list[Samples] = []
    attempt = await bench.runner.run(
        replace(JOB, chunk=POCKET_FRONT_END.prepare("— … —")), pieces.append
    )
    assert bench.engine.requests == []
    assert (attempt.verdict, pieces, attempt.expected_frames) == (None, [], 0.0)
    spoken, _ = await run(bench, short_script(29))
    whole = join_halves(spoken, attempt)
    assert (whole.verdict, whole.num_good_frames) == (None, 29)


async def test_the_exact_request_to_the_engine(bench: Bench) -> None:
    sampling = replace(POCKET.sampling, temperature=1.3, top_k=40, min_p=0.05)
    await run(
        bench,
        short_script(4),
        replace(
            JOB, chunk=POCKET_FRONT_END.prepare("Bad."), params=replace(PARAMS, sampling=sampling)
        ),
    )
    # 4 phonemes are 3.75 frames: the limit is 44.53 frames, and the tokens allow one more.
    assert bench.engine.requests == [
        TokenRequest(
            request_id="r",
            prompt_token_ids=(1, 5, 14, 35, 15, 9, 2, 3),
            sampling=sampling,
            max_tokens=46 * 7,
            seed=7,
        )
    ]


@pytest.mark.parametrize(
    ("script", "fault", "num_good_frames", "detail"),
    [
        (loop_script(9), Fault.LOOP, 9, "period 1 frames, 12 times"),
        (stall_script(5), Fault.STALL, 5, "81% of codes unchanged"),
        (runaway_script(), Fault.RUNAWAY, 107, "108 frames for an expected 29"),
    ],
)
async def test_a_faulty_attempt_is_stopped_while_it_runs(
    bench: Bench, script: Script, fault: Fault, num_good_frames: int, detail: str
) -> None:
    """Earlier servers checked only complete answers, so a loop cost 8,192 tokens."""
    attempt, _ = await run(bench, script)
    assert attempt.verdict == Verdict(fault, num_good_frames, detail)
    assert attempt.num_good_frames == num_good_frames
    assert attempt.num_output_tokens == 7 * len(attempt.frames) < len(script.token_ids)
    assert (bench.engine.num_aborted, bench.engine.num_active) == (1, 0)
    assert bench.decoder.calls == []


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (
            short_script(2),
            Verdict(Fault.TOO_SHORT, 2, "2 frames for an expected 29"),
        ),
        (
            short_script(0),
            Verdict(Fault.TOO_SHORT, 0, "0 frames for an expected 29"),
        ),
        (endless_script(40), Verdict(Fault.TOKEN_LIMIT, 40, "no stop after 40 frames")),
        (
            garbled_script(20, num_missing=15),
            Verdict(Fault.BAD_TOKENS, 0, "15 of 140 tokens out of place"),
        ),
        (
            Script((), error=GenerationFailed("out of memory")),
            Verdict(Fault.ENGINE_ERROR, 0, "out of memory"),
        ),
    ],
)
async def test_a_fault_at_the_end_is_reported_with_its_numbers(
    bench: Bench, script: Script, verdict: Verdict
) -> None:
    attempt, _ = await run(bench, script)
    assert attempt.verdict == verdict
    # The codec is not flushed, because this attempt may never be heard.
    assert bench.decoder.calls == []
    assert bench.engine.num_aborted == 0


async def test_an_engine_that_fails_midway_is_not_a_decode_error(bench: Bench) -> None:
    """With frames before it, an engine error was counted as the codec's fault."""
    script = Script(speech_ids(20), error=GenerationFailed("preempted"), fail_at=70)
    attempt, _ = await run(bench, script)
    assert attempt.verdict == Verdict(Fault.ENGINE_ERROR, 0, "preempted")
    assert len(attempt.frames) == 10


async def test_a_few_tokens_out_of_place_are_repaired(bench: Bench) -> None:
    """The reference decoder counts tokens, so a missing one corrupts all that follow."""
    attempt, emitted = await run(bench, garbled_script(20, num_missing=14))
    assert attempt.verdict is None
    assert emitted.size == 20 * FRAME


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (GenerationFailed("no memory"), Verdict(Fault.DECODE_ERROR, 0, "no memory")),
        (
            np.full(FRAME, np.nan, np.float32),
            Verdict(Fault.NOT_FINITE, 0, "samples are not finite"),
        ),
        (
            np.full(FRAME, np.inf, np.float32),
            Verdict(Fault.NOT_FINITE, 0, "samples are not finite"),
        ),
        (
            np.full(FRAME, 9e-4, np.float32),
            Verdict(Fault.SILENT, 0, "29 frames of silence"),
        ),
        (empty(), Verdict(Fault.SILENT, 0, "29 frames of silence")),
    ],
)
async def test_unusable_audio_is_a_fault(
    bench: Bench, result: np.ndarray | Exception, verdict: Verdict
) -> None:
    """Another server returns a silent file with status 200 when its vocoder overflows."""
    bench.decoder.results.append(result)
    attempt, emitted = await run(bench, short_script(29))
    assert attempt.verdict == verdict
    assert (attempt.num_good_frames, emitted.size) == (0, 0)


class TestTokenLimits:
    async def test_the_callers_own_limit_is_not_a_fault(self, bench: Bench) -> None:
        sampling = replace(POCKET.sampling, max_tokens=140)
        attempt, emitted = await run(
            bench, short_script(50), replace(JOB, params=replace(PARAMS, sampling=sampling))
        )
        assert bench.engine.requests[0].max_tokens == 140
        assert attempt.verdict is None
        assert emitted.size == 20 * FRAME

    async def test_the_callers_own_limit_hides_no_other_fault(self, bench: Bench) -> None:
        sampling = replace(POCKET.sampling, max_tokens=125)
        job = replace(JOB, params=replace(PARAMS, sampling=sampling))
        attempt, _ = await run(bench, garbled_script(20, num_missing=15), job)
        assert attempt.verdict is not None
        assert attempt.verdict.fault == Fault.BAD_TOKENS
        attempt, _ = await run(bench, loop_script(3), job)
        assert attempt.verdict is not None
        assert attempt.verdict.fault == Fault.LOOP

    async def test_a_full_context_is_not_the_callers_limit(self, bench: Bench) -> None:
        bench.engine.max_model_len = 35 + 140  # the prompt has 35 tokens
        sampling = replace(POCKET.sampling, max_tokens=1000)
        attempt, _ = await run(
            bench, short_script(50), replace(JOB, params=replace(PARAMS, sampling=sampling))
        )
        assert bench.engine.requests[0].max_tokens == 140
        assert attempt.verdict == Verdict(Fault.TOKEN_LIMIT, 20, "no stop after 20 frames")

    async def test_a_prompt_that_fills_the_context_is_an_engine_error(self, bench: Bench) -> None:
        bench.engine.max_model_len = 35
        attempt, _ = await run(bench, short_script(29))
        assert attempt.verdict is not None
        assert attempt.verdict.fault == Fault.ENGINE_ERROR

    async def test_the_servers_limit(self, bench: Bench) -> None:
        runner = AttemptRunner(
            POCKET.layout, build_prompts(POCKET), bench.engine, bench.decoder, bench.pool, 350
        )
        bench.engine.enqueue(runaway_script())
        attempt = await runner.run(JOB, ignore)
        assert bench.engine.requests[0].max_tokens == 350
        assert attempt.verdict == Verdict(Fault.TOKEN_LIMIT, 50, "no stop after 50 frames")


async def test_engine_death_is_not_a_fault_of_the_attempt(bench: Bench) -> None:
    with pytest.raises(EngineDead, match="core is gone"):
        await run(bench, Script(speech_ids(9), error=EngineDead("core is gone"), fail_at=28))
    assert not bench.engine.is_alive


async def test_cancelling_aborts_the_generation(bench: Bench) -> None:
    """Without an abort, vLLM generates up to the token limit for a client that has gone."""
    bench.engine.enqueue(Script(speech_ids(9), hangs_at_end=True))
    task = asyncio.create_task(bench.runner.run(JOB, ignore))
    await wait_for(lambda: bench.engine.num_active == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.engine.num_aborted, bench.engine.num_active) == (1, 0)


class TestAudio:
    async def test_it_is_emitted_while_the_engine_generates(self, bench: Bench) -> None:
        """The first samples of a chunk waited for its last token."""
        script, gate = short_script(29), asyncio.Event()
        bench.engine.enqueue(held_script(script, gate, num_free_frames=3))
        pieces: list[Samples] = []
        task = asyncio.create_task(bench.runner.run(JOB, pieces.append))
        await wait_for(lambda: len(pieces) == 3)
        await bench.settle()
        assert [piece.size for piece in pieces] == [FRAME - FADE, FRAME, FRAME]
        gate.set()
        assert (await task).verdict is None
        assert [piece.size for piece in pieces[3:]] == [FRAME] * 26 + [FADE]

    async def test_nothing_is_emitted_after_a_fault(self, bench: Bench) -> None:
        """The loop is detected at the 20th frame."""
        attempt, emitted = await run(bench, loop_script(9))
        assert len(attempt.frames) == 20
        heard = await heard_of(loop_script(9), num_frames=20)
        np.testing.assert_array_equal(emitted, heard[: 19 * FRAME - FADE])

    async def test_a_loop_that_was_not_heard_is_not_played(self, bench: Bench) -> None:
        emitted = await run_and_conclude(bench, loop_script(9), num_frames=9)
        np.testing.assert_array_equal(emitted, await heard_of(loop_script(9), num_frames=9))
        assert bench.decoder.calls == [(9, 99)]

    async def test_a_loop_that_was_partly_heard_is_faded_out(self, bench: Bench) -> None:
        """Half of its third frame was heard; 10 ms more follow, to avoid a click."""
        num_taken = 11 * FRAME + FRAME // 2
        emitted = await run_and_conclude(bench, loop_script(9), num_frames=9, num_taken=num_taken)
        loop = await heard_of(loop_script(9), num_frames=19)
        np.testing.assert_array_equal(emitted[:num_taken], loop[:num_taken])
        assert emitted.size == num_taken + 240
        fade = loop[num_taken : num_taken + 240] * (1 - np.arange(240) / 240)
        assert emitted[num_taken:] == pytest.approx(fade, abs=1e-6)

    async def test_all_good_frames_are_heard_if_only_the_end_is_missing(self, bench: Bench) -> None:
        emitted = await run_and_conclude(bench, endless_script(40), num_frames=40)
        np.testing.assert_array_equal(emitted, await heard_of(endless_script(40)))
        assert bench.decoder.calls == [(40, 99)]

    async def test_good_frames_of_a_bad_delta_are_heard(self, bench: Bench) -> None:
        """The last delta has frames 106 to 108, and the first 107 of a runaway are good."""
        engine = ScriptedEngine(lambda request: runaway_script(), delta_size=21)
        runner = AttemptRunner(
            POCKET.layout, build_prompts(POCKET), engine, bench.decoder, bench.pool
        )
        pieces: list[Samples] = []
        attempt = await runner.run(JOB, pieces.append)
        assert (len(attempt.frames), attempt.num_good_frames) == (108, 107)
        assert join_pieces(pieces).size == 105 * FRAME - FADE
        failed = Heard(attempt, join_pieces(pieces), num_taken=105 * FRAME - FADE)
        await runner.conclude(JOB, pieces.append, failed.resume_point(107))
        heard = await heard_of(runaway_script(), num_frames=107)
        np.testing.assert_array_equal(join_pieces(pieces), heard)

    async def test_all_frames_before_an_engine_error_are_heard(self, bench: Bench) -> None:
        script = Script(speech_ids(20), error=GenerationFailed("preempted"), fail_at=70)
        emitted = await run_and_conclude(bench, script, num_frames=10)
        np.testing.assert_array_equal(emitted, await heard_of(script, num_frames=10))

    async def test_decoding_again_emits_only_the_good_frames(self, bench: Bench) -> None:
        attempt, _ = await run(bench, loop_script(9))
        pieces: list[Samples] = []
        assert await bench.runner.decode(attempt, JOB, pieces.append) is None
        heard = await heard_of(loop_script(9), num_frames=9)
        np.testing.assert_array_equal(join_pieces(pieces), heard)
        assert bench.decoder.calls == [(9, 99)]

    async def test_decoding_again_can_find_a_fault(self, bench: Bench) -> None:
        attempt, _ = await run(bench, endless_script(40))
        bench.decoder.results.append(GenerationFailed("no memory"))
        pieces: list[Samples] = []
        verdict = await bench.runner.decode(attempt, JOB, pieces.append)
        assert (verdict, pieces) == (Verdict(Fault.DECODE_ERROR, 0, "no memory"), [])


class TestOneAtATime:
    """A generation that is alone in its batch has the same logits every time."""

    @pytest.mark.parametrize(("one_at_a_time", "max_active"), [(True, 1), (False, 6)])
    async def test_the_number_of_concurrent_generations(
        self, one_at_a_time: bool, max_active: int
    ) -> None:
        async with open_bench(one_at_a_time=one_at_a_time) as bench:
            gate = asyncio.Event()
            bench.engine.enqueue(*[held_script(short_script(29), gate)] * 6)
            jobs = [replace(JOB, request_id=str(number)) for number in range(6)]
            running = asyncio.gather(*(bench.runner.run(job, ignore) for job in jobs))
            await wait_for(lambda: bench.engine.num_active == max_active)
            await bench.settle()
            gate.set()
            attempts = await running
            assert [attempt.verdict for attempt in attempts] == [None] * 6
            assert bench.engine.max_active == max_active
            assert len(bench.engine.requests) == 6

    @pytest.mark.parametrize("error", [None, GenerationFailed("lost"), EngineDead("core is gone")])
    async def test_the_next_generation_runs_however_the_first_ends(
        self, error: Exception | None
    ) -> None:
        async with open_bench(one_at_a_time=True) as bench:
            bench.scripts["first"] = (
                Script(speech_ids(9), hangs_at_end=True)
                if error is None
                else Script((), error=error)
            )
            first = asyncio.create_task(bench.runner.run(replace(JOB, request_id="first"), ignore))
            await wait_for(lambda: len(bench.engine.requests) == 1)
            if error is None:
                first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            attempt = await bench.runner.run(JOB, ignore)
            assert attempt.verdict is None

    async def test_a_cancelled_attempt_in_the_queue_does_not_block_the_next(self) -> None:
        async with open_bench(one_at_a_time=True) as bench:
            gate = asyncio.Event()
            bench.scripts["0"] = held_script(short_script(29), gate)
            jobs = [replace(JOB, request_id=str(number)) for number in range(3)]
            tasks = [asyncio.create_task(bench.runner.run(job, ignore)) for job in jobs]
            await wait_for(lambda: len(bench.engine.requests) == 1)
            await bench.settle()
            tasks[1].cancel()
            gate.set()
            assert [(await tasks[number]).verdict for number in (0, 2)] == [None, None]
            assert [request.request_id for request in bench.engine.requests] == ["0", "2"]


def test_the_fake_is_a_token_engine() -> None:
    """Checks the protocol's attributes; mypy checks the rest where `AttemptRunner` is built."""
    engine = ScriptedEngine(lambda request: short_script(1))
    assert (engine.max_model_len, engine.num_active, engine.is_alive) == (8192, 0, True)


@pytest.mark.parametrize(
    ("text", "ends_paragraph", "num_silent"),
    [("Bad.", False, 0), ("Bad,", False, 0), ("Bad", False, 0), ("Bad.", True, 13_200)],
)
async def test_the_pause_after_a_chunk(
    bench: Bench, text: str, ends_paragraph: bool, num_silent: int
) -> None:
    """The tones have no silence at their end: only a paragraph needs more than there is."""
    chunk = replace(POCKET_FRONT_END.prepare(text), ends_paragraph=ends_paragraph)
    attempt, emitted = await run(bench, short_script(4), replace(JOB, chunk=chunk))
    assert attempt.verdict is None
    assert emitted.size == 4 * FRAME + num_silent
    assert not emitted[4 * FRAME :].any()


async def test_half_an_utterance_is_too_short_for_a_voice_whose_pace_is_known(bench: Bench) -> None:
    """It was good enough: 16 of 29 expected frames are far above the wide limit of 3."""
    voice = replace(PARAMS.voice, shortest=ShortestSpeech(share=0.7, sec=0.1))
    job = replace(JOB, params=replace(PARAMS, voice=voice))
    half, _ = await run(bench, short_script(16), job)
    assert half.verdict is not None
    assert (half.verdict.fault, half.verdict.num_good_frames) == (Fault.TOO_SHORT, 16)
    whole, _ = await run(bench, short_script(23), job)
    assert whole.verdict is None

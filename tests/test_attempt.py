"""One try at one text, fault by fault; the engine is scripted and the codec makes tones."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest

from orpheus_server.attempt import Attempt, AttemptJob, AttemptRunner, join_halves
from orpheus_server.audio import empty
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.guard import Fault, Verdict
from orpheus_server.interfaces import TokenRequest
from tests.support import (
    POCKET,
    Bench,
    build_prompts,
    endless_script,
    garbled_script,
    loop_script,
    runaway_script,
    short_script,
    speech_ids,
    stall_script,
    wait_for,
)

pytestmark = pytest.mark.anyio

# 30 letters and a stop: 31 phonemes, 29.0625 frames, at most 107.8 and at least 2.9 of them.
JOB = AttemptJob(
    request_id="r",
    text="Abcdefg hijklmno. Pqrstuv wxyzabcd.",
    voice=POCKET.default_voice,
    sampling=POCKET.sampling,
    seed=7,
    noise_seed=99,
)
FRAME = 2048


async def run(bench: Bench, script: Script, job: AttemptJob = JOB) -> Attempt:
    bench.engine.enqueue(script)
    return await bench.runner.run(job)


async def test_a_good_attempt_has_all_samples_of_all_frames(bench: Bench) -> None:
    attempt = await run(bench, short_script(29))
    assert attempt.verdict is None
    assert len(attempt.frames) == attempt.num_good_frames == 29
    assert attempt.samples.size == 29 * FRAME
    assert attempt.num_output_tokens == 29 * 7 + 1
    assert attempt.num_prompt_tokens == 32  # the voice's own token, and 31 phonemes
    assert bench.decoder.calls == [(29, 99)]
    assert bench.engine.num_aborted == 0


async def test_a_half_without_anything_to_say_costs_no_generation(bench: Bench) -> None:
    """Its prompt had no text: the model made up speech, and the chunk was retried for it."""
    attempt = await bench.runner.run(replace(JOB, text="— … —"))
    assert bench.engine.requests == []
    assert (attempt.verdict, attempt.samples.size, attempt.expected_frames) == (None, 0, 0.0)
    spoken = await run(bench, short_script(29))
    joined = await bench.runner.join(spoken.samples, attempt.samples)
    whole = join_halves(spoken, attempt, joined)
    assert (whole.verdict, whole.num_good_frames) == (None, 29)


async def test_the_engine_gets_exactly_what_was_asked_for(bench: Bench) -> None:
    sampling = replace(POCKET.sampling, temperature=1.3, top_k=40, min_p=0.05)
    await bench.runner.run(replace(JOB, text="Bad.", sampling=sampling))
    # 4 phonemes: 3.75 frames, so at most 44.53, and one more in tokens.
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
async def test_a_lost_attempt_ends_while_it_runs(
    bench: Bench, script: Script, fault: Fault, num_good_frames: int, detail: str
) -> None:
    """The earlier servers looked at an answer when it was whole: a loop cost 8,192 tokens."""
    attempt = await run(bench, script)
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
async def test_a_bad_end_is_named_with_its_numbers(
    bench: Bench, script: Script, verdict: Verdict
) -> None:
    attempt = await run(bench, script)
    assert attempt.verdict == verdict
    assert attempt.samples.size == 0
    assert bench.decoder.calls == []
    assert bench.engine.num_aborted == 0


async def test_an_engine_that_fails_midway_is_no_decode_error(bench: Bench) -> None:
    """Told apart by whether there were frames, it was counted as the codec's fault."""
    script = Script(speech_ids(20), error=GenerationFailed("preempted"), fail_at=70)
    attempt = await run(bench, script)
    assert attempt.verdict == Verdict(Fault.ENGINE_ERROR, 0, "preempted")
    assert len(attempt.frames) == 10


async def test_a_few_tokens_out_of_place_are_mended(bench: Bench) -> None:
    """The reference decoder counts tokens: one too few spoils all that follow."""
    attempt = await run(bench, garbled_script(20, num_missing=14))
    assert attempt.verdict is None
    assert attempt.samples.size == 20 * FRAME


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
            Verdict(Fault.SILENT, 0, "2048 samples of silence"),
        ),
        (empty(), Verdict(Fault.SILENT, 0, "0 samples of silence")),
    ],
)
async def test_what_cannot_be_heard_is_a_fault(
    bench: Bench, result: np.ndarray | Exception, verdict: Verdict
) -> None:
    """A rival delivers a silent file with status 200 when its vocoder overflows."""
    bench.decoder.results.append(result)
    attempt = await run(bench, short_script(29))
    assert attempt.verdict == verdict
    assert attempt.num_good_frames == 0


class TestTokenLimits:
    async def test_the_callers_own_limit_is_an_answer(self, bench: Bench) -> None:
        sampling = replace(POCKET.sampling, max_tokens=140)
        attempt = await run(bench, short_script(50), replace(JOB, sampling=sampling))
        assert bench.engine.requests[0].max_tokens == 140
        assert attempt.verdict is None
        assert attempt.samples.size == 20 * FRAME

    async def test_the_callers_own_limit_excuses_no_other_fault(self, bench: Bench) -> None:
        job = replace(JOB, sampling=replace(POCKET.sampling, max_tokens=125))
        attempt = await run(bench, garbled_script(20, num_missing=15), job)
        assert attempt.verdict is not None
        assert attempt.verdict.fault == Fault.BAD_TOKENS
        assert (await run(bench, loop_script(3), job)).verdict is not None

    async def test_a_full_context_is_not_the_callers_limit(self, bench: Bench) -> None:
        bench.engine.max_model_len = 35 + 140  # 35 are the prompt
        sampling = replace(POCKET.sampling, max_tokens=1000)
        attempt = await run(bench, short_script(50), replace(JOB, sampling=sampling))
        assert bench.engine.requests[0].max_tokens == 140
        assert attempt.verdict == Verdict(Fault.TOKEN_LIMIT, 20, "no stop after 20 frames")

    async def test_a_prompt_that_fills_the_context_fails_alone(self, bench: Bench) -> None:
        bench.engine.max_model_len = 35
        attempt = await run(bench, short_script(29))
        assert attempt.verdict is not None
        assert attempt.verdict.fault == Fault.ENGINE_ERROR

    async def test_the_servers_cap(self, bench: Bench) -> None:
        runner = AttemptRunner(
            POCKET.layout, build_prompts(POCKET), bench.engine, bench.decoder, bench.pool, 350
        )
        bench.engine.enqueue(runaway_script())
        attempt = await runner.run(JOB)
        assert bench.engine.requests[0].max_tokens == 350
        assert attempt.verdict == Verdict(Fault.TOKEN_LIMIT, 50, "no stop after 50 frames")


async def test_engine_death_is_no_fault_of_the_attempt(bench: Bench) -> None:
    with pytest.raises(EngineDead, match="core is gone"):
        await run(bench, Script(speech_ids(9), error=EngineDead("core is gone"), fail_at=28))
    assert not bench.engine.is_alive


async def test_cancelling_aborts_the_generation(bench: Bench) -> None:
    """vLLM goes on to the token limit for a reader who has gone, unless it is told."""
    bench.engine.enqueue(Script(speech_ids(9), hangs_at_end=True))
    task = asyncio.create_task(bench.runner.run(JOB))
    await wait_for(lambda: bench.engine.num_active == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.engine.num_aborted, bench.engine.num_active) == (1, 0)


class TestJoinHalves:
    def half(self, num_frames: int, verdict: Verdict | None = None) -> Attempt:
        frames = [(index,) * 7 for index in range(num_frames)]
        return Attempt(frames, empty(), 15.0, 10, 7 * num_frames, 1, verdict)

    def test_two_good_ones(self) -> None:
        samples = np.ones(5, np.float32)
        whole = join_halves(self.half(15), self.half(14), samples)
        assert whole.verdict is None
        assert whole.samples is samples
        assert whole.num_good_frames == 29
        assert (whole.expected_frames, whole.num_prompt_tokens) == (30.0, 20)
        assert (whole.num_output_tokens, whole.num_dropped_symbols) == (203, 2)

    @pytest.mark.parametrize(
        ("first", "second", "num_good_frames", "detail"),
        [
            (Verdict(Fault.LOOP, 6, "a"), None, (6, 14), "half of the text: a"),
            (None, Verdict(Fault.LOOP, 4, "b"), (15, 4), "half of the text: b"),
            (
                Verdict(Fault.LOOP, 6, "a"),
                Verdict(Fault.LOOP, 4, "b"),
                (6, 4),
                "half of the text: a",
            ),
        ],
    )
    def test_of_each_half_the_good_frames_stay(
        self,
        first: Verdict | None,
        second: Verdict | None,
        num_good_frames: tuple[int, int],
        detail: str,
    ) -> None:
        """A fault in the first half threw the second away: half of the text was never heard."""
        whole = join_halves(self.half(15, first), self.half(14, second), empty())
        assert whole.verdict == Verdict(Fault.LOOP, sum(num_good_frames), detail)
        frames = [*range(num_good_frames[0]), *range(num_good_frames[1])]
        assert [frame[0] for frame in whole.frames] == frames

    @pytest.mark.parametrize(
        ("num_frames", "closeness"),
        [(30, 0.0), (15, -math.log(2)), (60, -math.log(2)), (0, -math.inf)],
    )
    def test_closeness_weighs_too_long_as_too_short(
        self, num_frames: int, closeness: float
    ) -> None:
        attempt = Attempt([(0,) * 7] * num_frames, expected_frames=30.0)
        assert attempt.closeness == pytest.approx(closeness)


def test_the_fake_is_a_token_engine() -> None:
    """The protocol's own names; mypy checks the rest at the call of `AttemptRunner`."""
    engine = ScriptedEngine(lambda request: short_script(1))
    assert (engine.max_model_len, engine.num_active, engine.is_alive) == (8192, 0, True)

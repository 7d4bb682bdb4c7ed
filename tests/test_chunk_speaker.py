"""The ladder of attempts at one chunk, and what is used when it ends."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from orpheus_server.audio import Samples
from orpheus_server.chunk_speaker import ChunkJob, ChunkSpeaker
from orpheus_server.errors import ChunkFailed, EngineDead, GenerationFailed
from orpheus_server.fakes import Script, ToneDecoder
from orpheus_server.frames import FrameAssembler
from orpheus_server.guard import Fault, Verdict
from orpheus_server.sampling import RetryPolicy, derive_seed
from orpheus_server.seams import join_chunks
from tests.support import (
    POCKET,
    Bench,
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

# 29.06 frames are expected of the whole, 15 of each half.
JOB = ChunkJob(
    request_id="r",
    index=3,
    text="Abcdefg hijklmno. Pqrstuv wxyzabcd.",
    voice=POCKET.default_voice,
    sampling=POCKET.sampling,
    seed=7,
)
NOISE_SEED = derive_seed(7, 3)
WHOLE = (1, 5, *[35, 14, 35, 15, 35, 18, 35, 19, 20, 21, 22, 23, 24, 25, 35])
FIRST_IDS = ["r-3-1", "r-3-2", "r-3-3", "r-3-4-0", "r-3-4-1", "r-3-5-0", "r-3-5-1"]


def build_speaker(
    bench: Bench, *, may_be_degraded: bool = True, max_attempts: int = 5
) -> ChunkSpeaker:
    retries = RetryPolicy(max_attempts=max_attempts, default=POCKET.sampling)
    return ChunkSpeaker(bench.runner, retries, may_be_degraded=may_be_degraded)


def fail_all(bench: Bench, build: Callable[[], Script]) -> None:
    bench.scripts.update({request_id: build() for request_id in FIRST_IDS})


BAD_SCRIPTS = {
    Fault.LOOP: loop_script(9),
    Fault.STALL: stall_script(5),
    Fault.RUNAWAY: runaway_script(),
    Fault.TOO_SHORT: short_script(2),
    Fault.TOKEN_LIMIT: endless_script(40),
    Fault.BAD_TOKENS: garbled_script(20, num_missing=15),
    Fault.ENGINE_ERROR: Script(speech_ids(20), error=GenerationFailed("lost"), fail_at=70),
}
BAD_RESULTS: dict[Fault, Samples | Exception] = {
    Fault.DECODE_ERROR: GenerationFailed("no memory"),
    Fault.NOT_FINITE: np.full(2048, np.nan, np.float32),
    Fault.SILENT: np.zeros(2048, np.float32),
}


def test_every_fault_is_tried() -> None:
    assert {*BAD_SCRIPTS, *BAD_RESULTS} == set(Fault)


class TestLadder:
    @pytest.mark.parametrize("fault", list(Fault))
    async def test_each_fault_leads_to_the_next_attempt(self, bench: Bench, fault: Fault) -> None:
        if fault in BAD_SCRIPTS:
            bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        else:
            bench.decoder.results.append(BAD_RESULTS[fault])
        speaker = build_speaker(bench)
        audio = await speaker.speak(JOB)
        assert (audio.num_attempts, audio.verdict, audio.samples.size) == (2, None, 30 * 2048)
        assert [request.request_id for request in bench.engine.requests] == ["r-3-1", "r-3-2"]
        assert speaker.counts.faults == Counter({fault: 1})
        assert (speaker.counts.num_chunks, speaker.counts.num_attempts) == (1, 2)
        assert speaker.counts.num_degraded_chunks == 0

    async def test_every_rung_has_its_seed_its_sampling_and_its_split(self, bench: Bench) -> None:
        """The earlier servers multiplied temperature and penalty: the voice changed its pace."""
        fail_all(bench, lambda: short_script(0))
        with pytest.raises(ChunkFailed):
            await build_speaker(bench).speak(JOB)
        requests = sorted(bench.engine.requests, key=lambda request: request.request_id)
        assert [request.request_id for request in requests] == FIRST_IDS
        base = POCKET.sampling
        lower = replace(base, top_p=0.9 * 0.9)
        assert [request.sampling for request in requests] == [base] * 3 + [lower] * 4
        fourth, fifth = derive_seed(7, 3, 4), derive_seed(7, 3, 5)
        assert [request.seed for request in requests] == [
            derive_seed(7, 3, 1),
            derive_seed(7, 3, 2),
            derive_seed(7, 3, 3),
            derive_seed(fourth, 0),
            derive_seed(fourth, 1),
            derive_seed(fifth, 0),
            derive_seed(fifth, 1),
        ]
        prompts = [request.prompt_token_ids for request in requests]
        assert len(set(prompts[:3])) == 1
        whole, first, second = prompts[0], prompts[3], prompts[4]
        assert prompts[5:] == [first, second]
        # The voice, 15 letters and a stop each; the stop of the whole stands at its end only.
        assert first == (*WHOLE, 9, 2, 3)
        assert whole == (*first[:-3], *second[2:])
        # At most 107.8 frames of the whole, 72.7 of a half; and one frame more.
        assert [request.max_tokens // 7 for request in requests] == [109] * 3 + [74] * 4

    async def test_without_a_seed_each_attempt_draws_anew(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(20))
        await build_speaker(bench).speak(replace(JOB, seed=None))
        assert {request.seed for request in bench.engine.requests} == {None}
        assert {seed for _, seed in bench.decoder.calls} == {derive_seed(0, 3)}

    async def test_a_retry_of_temperature_0_samples(self, bench: Bench) -> None:
        """Greedy has one outcome: a retry of it would fail in the same way."""
        fail_all(bench, lambda: endless_script(20))
        sampling = replace(POCKET.sampling, temperature=0.0)
        await build_speaker(bench).speak(replace(JOB, sampling=sampling))
        requests = sorted(bench.engine.requests, key=lambda request: request.request_id)
        assert [request.sampling.temperature for request in requests] == [0.0] + [0.6] * 6

    async def test_a_text_of_one_word_is_not_cut(self, bench: Bench) -> None:
        bench.scripts.update({f"r-3-{number}": short_script(0) for number in (1, 2, 3)})
        audio = await build_speaker(bench).speak(replace(JOB, text="Abcdefghijklmno."))
        assert audio.num_attempts == 4
        assert [request.request_id for request in bench.engine.requests][-1] == "r-3-4"
        assert bench.engine.requests[-1].sampling.top_p == 0.9 * 0.9

    async def test_the_callers_own_limit_is_delivered_at_once(self, bench: Bench) -> None:
        """A rival takes it for an early end and generates the same text five times."""
        bench.scripts["r-3-1"] = short_script(60)
        job = replace(JOB, sampling=replace(POCKET.sampling, max_tokens=140))
        audio = await build_speaker(bench).speak(job)
        assert (audio.num_attempts, audio.verdict) == (1, None)
        assert audio.samples.size == 20 * 2048


async def test_halves_are_joined_in_order(bench: Bench) -> None:
    fail_all(bench, lambda: short_script(0))
    halves = {"r-3-4-0": short_script(15), "r-3-4-1": short_script(11)}
    # The second half is there long before the first.
    gate = asyncio.Event()
    bench.scripts.update(halves)
    bench.scripts["r-3-4-0"] = replace(halves["r-3-4-0"], gate=gate)
    task = asyncio.create_task(build_speaker(bench).speak(JOB))
    await wait_for(lambda: bench.decoder.calls == [(11, NOISE_SEED)])
    gate.set()
    audio = await task
    assert (audio.num_attempts, audio.verdict) == (4, None)
    tones = [
        await ToneDecoder().decode(
            FrameAssembler(POCKET.layout).feed(script.token_ids), noise_seed=0
        )
        for script in halves.values()
    ]
    np.testing.assert_array_equal(audio.samples, join_chunks(tones, sample_rate=24_000))
    assert audio.samples.size == 26 * 2048


class TestBestCandidate:
    @pytest.mark.parametrize(
        ("num_endless_frames", "num_frames", "fault"),
        # |ln(21/29.06)| is 0.325, |ln(40/29.06)| is 0.319 and |ln(41/29.06)| is 0.344.
        [(40, 40, Fault.TOKEN_LIMIT), (41, 21, Fault.LOOP)],
    )
    async def test_nearest_to_the_expected_length(
        self, bench: Bench, num_endless_frames: int, num_frames: int, fault: Fault
    ) -> None:
        bench.scripts.update(
            {
                "r-3-1": short_script(2),  # 2.68
                "r-3-2": loop_script(21),
                "r-3-3": endless_script(num_endless_frames),
                "r-3-4-0": BAD_SCRIPTS[Fault.ENGINE_ERROR],  # nothing, though 15 more are good
                "r-3-5-1": loop_script(2),  # 16 and 2: 0.51
            }
        )
        speaker = build_speaker(bench)
        audio = await speaker.speak(JOB)
        assert audio.verdict is not None
        assert audio.verdict.fault == fault
        assert (audio.num_attempts, audio.samples.size) == (5, num_frames * 2048)
        assert bench.decoder.calls[-1] == (num_frames, NOISE_SEED)
        assert speaker.counts.num_degraded_chunks == 1
        assert speaker.counts.faults.total() == 5

    async def test_good_frames_of_a_split_attempt(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        del bench.scripts["r-3-5-0"]
        bench.scripts["r-3-5-1"] = loop_script(6)
        audio = await build_speaker(bench).speak(JOB)
        assert audio.verdict == Verdict(
            Fault.LOOP, 22, "half of the text: period 1 frames, 12 times"
        )
        assert audio.samples.size == 22 * 2048

    async def test_the_first_of_equals(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-2"] = endless_script(20)
        bench.scripts["r-3-3"] = loop_script(20)
        audio = await build_speaker(bench).speak(JOB)
        assert audio.verdict == Verdict(Fault.TOKEN_LIMIT, 20, "no stop after 20 frames")

    @pytest.mark.parametrize("fault", list(BAD_RESULTS))
    async def test_one_that_cannot_be_heard_is_passed_over(
        self, bench: Bench, fault: Fault
    ) -> None:
        """The best by its length was decoded last of all, and delivered unheard: as NaN."""
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-1"] = endless_script(28)
        bench.scripts["r-3-2"] = endless_script(12)
        bench.decoder.results.append(BAD_RESULTS[fault])
        audio = await build_speaker(bench).speak(JOB)
        assert [num_frames for num_frames, _ in bench.decoder.calls] == [28, 12]
        assert audio.samples.size == 12 * 2048
        assert np.isfinite(audio.samples).all()


class TestAllFailed:
    async def test_no_frame_worth_hearing(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        speaker = build_speaker(bench)
        with pytest.raises(ChunkFailed) as failed:
            await speaker.speak(JOB)
        assert str(failed.value) == (
            "part 4 of the text could not be spoken in 5 attempts "
            "(last cause: too_short: half of the text: 0 frames for an expected 15)"
        )
        assert speaker.counts.faults == Counter({Fault.TOO_SHORT: 5})
        assert speaker.counts.num_degraded_chunks == 0

    async def test_none_that_can_be_heard(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(20))
        bench.decoder.results.extend([GenerationFailed("no memory")] * 5)
        with pytest.raises(ChunkFailed):
            await build_speaker(bench).speak(JOB)
        assert len(bench.decoder.calls) == 5

    async def test_a_server_that_wants_no_second_best(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(28))
        with pytest.raises(ChunkFailed, match="could not be spoken in 2 attempts"):
            await build_speaker(bench, may_be_degraded=False, max_attempts=2).speak(JOB)
        assert bench.decoder.calls == []


class TestEngineDeath:
    async def test_it_ends_the_ladder_at_once(self, bench: Bench) -> None:
        """Retrying on a dead engine only delays the 503 that tells the caller to go elsewhere."""
        bench.scripts["r-3-1"] = Script((), error=EngineDead("core is gone"))
        speaker = build_speaker(bench)
        with pytest.raises(EngineDead, match="core is gone"):
            await speaker.speak(JOB)
        assert len(bench.engine.requests) == 1
        assert speaker.counts.faults == Counter()

    async def test_it_takes_the_other_half_along(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        gate = asyncio.Event()
        bench.scripts["r-3-4-0"] = Script((), error=EngineDead("core is gone"), gate=gate)
        bench.scripts["r-3-4-1"] = Script(speech_ids(9), hangs_at_end=True)
        task = asyncio.create_task(build_speaker(bench).speak(JOB))
        await wait_for(lambda: bench.engine.num_active == 2)
        gate.set()
        with pytest.raises(EngineDead):
            await task
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 1)


async def test_cancelling_leaves_no_half_behind(bench: Bench) -> None:
    fail_all(bench, lambda: short_script(0))
    for half in (0, 1):
        bench.scripts[f"r-3-4-{half}"] = Script(speech_ids(9), hangs_at_end=True)
    before = asyncio.all_tasks()
    task = asyncio.create_task(build_speaker(bench).speak(JOB))
    await wait_for(lambda: bench.engine.num_active == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 2)
    assert asyncio.all_tasks() == before

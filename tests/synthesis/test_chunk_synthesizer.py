"""The attempts at one chunk, and what is used when all have failed."""

import asyncio
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from orpheus_server.errors import ChunkFailed, EngineDead, GenerationFailed
from orpheus_server.fakes import Script
from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.guard import Fault, Verdict
from orpheus_server.synthesis.retry import derive_seed
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    endless_script,
    heard_of,
    join_pieces,
    loop_script,
    short_script,
    speech_ids,
    wait_for,
)
from tests.support.chunks import (
    BAD_SCRIPTS,
    FIRST_IDS,
    JOB,
    NOISE_SEED,
    build_chunk_synthesizer,
    fail_all,
    speak,
)

pytestmark = pytest.mark.anyio

WHOLE = (1, 5, *[35, 14, 35, 15, 35, 18, 35, 19, 20, 21, 22, 23, 24, 25, 35])
ALL_TONES = [None] * len(FIRST_IDS)
"""Results of the codec while the attempts run; later ones are for the choice of the best."""

BAD_RESULTS: dict[Fault, Samples | Exception] = {
    Fault.DECODE_ERROR: GenerationFailed("no memory"),
    Fault.NOT_FINITE: np.full(2048, np.nan, np.float32),
    Fault.SILENT: np.zeros(2048, np.float32),
}


def test_every_fault_is_covered() -> None:
    assert {*BAD_SCRIPTS, *BAD_RESULTS} == set(Fault)


class TestAttempts:
    @pytest.mark.parametrize("fault", list(Fault))
    async def test_each_fault_leads_to_the_next_attempt(self, bench: Bench, fault: Fault) -> None:
        if fault in BAD_SCRIPTS:
            bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        else:
            bench.decoder.results.append(BAD_RESULTS[fault])
        chunk_synthesizer = build_chunk_synthesizer(bench)
        spoken = await speak(chunk_synthesizer)
        assert (spoken.report.num_attempts, spoken.report.verdict, spoken.samples.size) == (
            2,
            None,
            30 * 2048,
        )
        assert [request.request_id for request in bench.engine.requests] == ["r-3-1", "r-3-2"]
        assert chunk_synthesizer.counts.faults == Counter({fault: 1})
        assert (chunk_synthesizer.counts.num_chunks, chunk_synthesizer.counts.num_attempts) == (
            1,
            2,
        )
        assert chunk_synthesizer.counts.num_degraded_chunks == 0

    async def test_seed_sampling_and_split_of_every_attempt(self, bench: Bench) -> None:
        """Earlier servers multiplied temperature and penalty, and the voice changed its pace."""
        fail_all(bench, lambda: short_script(0))
        with pytest.raises(ChunkFailed):
            await speak(build_chunk_synthesizer(bench))
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
        # Each half has the voice, 15 letters and a stop; the whole has a stop only at its end.
        assert first == (*WHOLE, 9, 2, 3)
        assert whole == (*first[:-3], *second[2:])
        # At most 107.8 frames for the whole and 72.7 for a half, plus one frame.
        assert [request.max_tokens // 7 for request in requests] == [109] * 3 + [74] * 4

    async def test_without_a_seed_each_attempt_samples_anew(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(20))
        await speak(build_chunk_synthesizer(bench), replace(JOB, params=replace(PARAMS, seed=None)))
        assert {request.seed for request in bench.engine.requests} == {None}
        assert {seed for _, seed in bench.decoder.calls} == {derive_seed(0, 3)}

    async def test_a_retry_of_temperature_0_samples(self, bench: Bench) -> None:
        """Greedy decoding has one outcome, so a retry would fail in the same way."""
        fail_all(bench, lambda: endless_script(20))
        sampling = replace(POCKET.sampling, temperature=0.0)
        await speak(
            build_chunk_synthesizer(bench), replace(JOB, params=replace(PARAMS, sampling=sampling))
        )
        requests = sorted(bench.engine.requests, key=lambda request: request.request_id)
        assert [request.sampling.temperature for request in requests] == [0.0] + [0.6] * 6

    async def test_a_text_of_one_word_is_not_split(self, bench: Bench) -> None:
        bench.scripts.update({f"r-3-{number}": short_script(0) for number in (1, 2, 3)})
        spoken = await speak(
            build_chunk_synthesizer(bench),
            replace(JOB, chunk=POCKET_FRONT_END.prepare("Abcdefghijklmno.")),
        )
        assert spoken.report.num_attempts == 4
        assert [request.request_id for request in bench.engine.requests][-1] == "r-3-4"
        assert bench.engine.requests[-1].sampling.top_p == 0.9 * 0.9

    async def test_an_end_at_the_callers_own_limit_is_not_retried(self, bench: Bench) -> None:
        """Another server treats it as an early end and generates the same text five times."""
        bench.scripts["r-3-1"] = short_script(60)
        sampling = replace(POCKET.sampling, max_tokens=140)
        job = replace(JOB, params=replace(PARAMS, sampling=sampling))
        spoken = await speak(build_chunk_synthesizer(bench), job)
        assert (spoken.report.num_attempts, spoken.report.verdict) == (1, None)
        assert spoken.samples.size == 20 * 2048


async def test_halves_are_joined_in_order(bench: Bench) -> None:
    fail_all(bench, lambda: short_script(0))
    halves = {"r-3-4-0": short_script(15), "r-3-4-1": short_script(11)}
    # The second half finishes before the first.
    gate = asyncio.Event()
    bench.scripts.update(halves)
    bench.scripts["r-3-4-0"] = replace(halves["r-3-4-0"], gate=gate)
    task = asyncio.create_task(speak(build_chunk_synthesizer(bench)))
    await wait_for(lambda: bench.decoder.calls == [(11, NOISE_SEED)])
    gate.set()
    spoken = await task
    assert (spoken.report.num_attempts, spoken.report.verdict) == (4, None)
    heard = [await heard_of(script) for script in halves.values()]
    np.testing.assert_array_equal(spoken.samples, join_pieces(heard))
    assert spoken.samples.size == 26 * 2048


class TestBestCandidate:
    @pytest.mark.parametrize(
        ("num_endless_frames", "num_frames", "fault"),
        # |ln(21/29.06)| is 0.325, |ln(40/29.06)| is 0.319 and |ln(41/29.06)| is 0.344.
        [(40, 40, Fault.TOKEN_LIMIT), (41, 21, Fault.LOOP)],
    )
    async def test_the_one_nearest_to_the_expected_length(
        self, bench: Bench, num_endless_frames: int, num_frames: int, fault: Fault
    ) -> None:
        bench.scripts.update(
            {
                "r-3-1": short_script(2),  # 2.68
                "r-3-2": loop_script(21),
                "r-3-3": endless_script(num_endless_frames),
                "r-3-4-0": BAD_SCRIPTS[Fault.ENGINE_ERROR],  # no frame of this half is good
                "r-3-5-1": loop_script(2),  # 16 and 2: 0.51
            }
        )
        chunk_synthesizer = build_chunk_synthesizer(bench)
        spoken = await speak(chunk_synthesizer)
        assert spoken.report.verdict is not None
        assert spoken.report.verdict.fault == fault
        assert (spoken.report.num_attempts, spoken.samples.size) == (5, num_frames * 2048)
        assert bench.decoder.calls[-1] == (num_frames, NOISE_SEED)
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.faults.total() == 5

    async def test_the_good_frames_of_a_split_attempt(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        del bench.scripts["r-3-5-0"]
        bench.scripts["r-3-5-1"] = loop_script(6)
        spoken = await speak(build_chunk_synthesizer(bench))
        assert spoken.report.verdict == Verdict(
            Fault.LOOP, 22, "half of the text: period 1 frames, 12 times"
        )
        assert spoken.samples.size == 22 * 2048

    async def test_the_first_of_equally_long_ones(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-2"] = endless_script(20)
        bench.scripts["r-3-3"] = loop_script(20)
        spoken = await speak(build_chunk_synthesizer(bench))
        assert spoken.report.verdict == Verdict(Fault.TOKEN_LIMIT, 20, "no stop after 20 frames")

    @pytest.mark.parametrize("fault", list(BAD_RESULTS))
    async def test_one_with_unusable_audio_is_skipped(self, bench: Bench, fault: Fault) -> None:
        """The best one by length was decoded without a check and delivered, even as NaN."""
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-1"] = endless_script(28)
        bench.scripts["r-3-2"] = endless_script(12)
        bench.decoder.results.extend([*ALL_TONES, BAD_RESULTS[fault]])
        spoken = await speak(build_chunk_synthesizer(bench))
        assert bench.decoder.calls[-1] == (12, NOISE_SEED)
        np.testing.assert_array_equal(spoken.samples, await heard_of(endless_script(12)))


class TestAllFailed:
    async def test_no_good_frame(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        chunk_synthesizer = build_chunk_synthesizer(bench)
        with pytest.raises(ChunkFailed) as failed:
            await speak(chunk_synthesizer)
        assert str(failed.value) == (
            "part 4 of the text could not be spoken in 5 attempts "
            "(last cause: too_short: half of the text: 0 frames for an expected 15)"
        )
        assert chunk_synthesizer.counts.faults == Counter({Fault.TOO_SHORT: 5})
        assert chunk_synthesizer.counts.num_degraded_chunks == 0

    async def test_no_usable_audio(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(20))
        bench.decoder.results.extend([*ALL_TONES, *[GenerationFailed("no memory")] * 5])
        with pytest.raises(ChunkFailed):
            await speak(build_chunk_synthesizer(bench))
        assert not bench.decoder.results

    async def test_degraded_audio_is_not_allowed(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(28))
        with pytest.raises(ChunkFailed, match="could not be spoken in 2 attempts"):
            await speak(build_chunk_synthesizer(bench, may_be_degraded=False, max_attempts=2))
        assert bench.decoder.calls == []


class TestEngineDeath:
    async def test_it_ends_the_attempts_immediately(self, bench: Bench) -> None:
        """Retrying on a dead engine only delays the 503 that sends the client to another server."""
        bench.scripts["r-3-1"] = Script((), error=EngineDead("core is gone"))
        chunk_synthesizer = build_chunk_synthesizer(bench)
        with pytest.raises(EngineDead, match="core is gone"):
            await speak(chunk_synthesizer)
        assert len(bench.engine.requests) == 1
        assert chunk_synthesizer.counts.faults == Counter()

    async def test_it_cancels_the_other_half(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        gate = asyncio.Event()
        bench.scripts["r-3-4-0"] = Script((), error=EngineDead("core is gone"), gate=gate)
        bench.scripts["r-3-4-1"] = Script(speech_ids(9), hangs_at_end=True)
        task = asyncio.create_task(speak(build_chunk_synthesizer(bench)))
        await wait_for(lambda: bench.engine.num_active == 2)
        gate.set()
        with pytest.raises(EngineDead):
            await task
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 1)


async def test_cancelling_stops_both_halves(bench: Bench) -> None:
    fail_all(bench, lambda: short_script(0))
    for half in (0, 1):
        bench.scripts[f"r-3-4-{half}"] = Script(speech_ids(9), hangs_at_end=True)
    before = asyncio.all_tasks()
    task = asyncio.create_task(speak(build_chunk_synthesizer(bench)))
    await wait_for(lambda: bench.engine.num_active == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 2)
    assert asyncio.all_tasks() == before

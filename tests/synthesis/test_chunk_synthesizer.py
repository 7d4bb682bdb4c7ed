"""The attempts at one chunk, and what is used when all have failed."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from orpheus_server.errors import ChunkFailed, EngineDead, GenerationFailed
from orpheus_server.fakes import Script, ToneDecoder, ToneUtterance
from orpheus_server.interfaces import Deadline, Frame, PostProcess, Samples, as_decoded
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
from orpheus_server.synthesis.chunk_synthesizer import ChunkJob, ChunkSynthesizer
from orpheus_server.synthesis.guard import Fault, Verdict
from orpheus_server.synthesis.job import ChunkReport
from orpheus_server.synthesis.retry import RetryPolicy, derive_seed
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    Listener,
    endless_script,
    garbled_script,
    heard_of,
    held_script,
    join_pieces,
    kept_ids_of,
    loop_from,
    loop_script,
    no_deadline,
    open_bench,
    runaway_script,
    short_script,
    speech_from,
    speech_ids,
    stall_script,
    wait_for,
)

pytestmark = pytest.mark.anyio

# 29.06 frames are expected of the whole, 15 of each half.
JOB = ChunkJob(
    request_id="r",
    index=3,
    chunk=POCKET_FRONT_END.prepare("Abcdefg hijklmno. Pqrstuv wxyzabcd."),
    params=PARAMS,
    deadline=no_deadline,
)
NOISE_SEED = derive_seed(7, 3)
WHOLE = (1, 5, *[35, 14, 35, 15, 35, 18, 35, 19, 20, 21, 22, 23, 24, 25, 35])
FIRST_IDS = ["r-3-1", "r-3-2", "r-3-3", "r-3-4-0", "r-3-4-1", "r-3-5-0", "r-3-5-1"]

ALL_TONES = [None] * len(FIRST_IDS)
"""Of the codec while all attempts run: what comes after is the choice of the best."""


def build_chunk_synthesizer(
    bench: Bench, *, may_be_degraded: bool = True, max_attempts: int = 5
) -> ChunkSynthesizer:
    retries = RetryPolicy(max_attempts=max_attempts, default=POCKET.sampling)
    return ChunkSynthesizer(
        bench.runner, POCKET_FRONT_END, bench.pool, retries, may_be_degraded=may_be_degraded
    )


@dataclass(frozen=True)
class Spoken:
    """A chunk that nobody listened to before its end: what it cost, and its samples."""

    report: ChunkReport
    samples: Samples


async def speak(chunk_synthesizer: ChunkSynthesizer, job: ChunkJob = JOB) -> Spoken:
    buffer = ChunkBuffer()
    report = await chunk_synthesizer.speak(job, buffer)
    buffer.close(report)
    return Spoken(report, await Listener(buffer).listen())


@dataclass
class Live:
    """A chunk that is heard while it is made."""

    chunk_synthesizer: ChunkSynthesizer
    job: ChunkJob = JOB
    buffer: ChunkBuffer = field(default_factory=ChunkBuffer)
    listener: Listener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = Listener(self.buffer)

    async def run(self) -> Samples:
        speaking = asyncio.create_task(self._speak())
        try:
            return await self.listener.listen()
        finally:
            await speaking

    async def _speak(self) -> None:
        try:
            self.buffer.close(await self.chunk_synthesizer.speak(self.job, self.buffer))
        except Exception as error:
            self.buffer.fail(error)


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

    async def test_every_rung_has_its_seed_its_sampling_and_its_split(self, bench: Bench) -> None:
        """The earlier servers multiplied temperature and penalty: the voice changed its pace."""
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
        # The voice, 15 letters and a stop each; the stop of the whole stands at its end only.
        assert first == (*WHOLE, 9, 2, 3)
        assert whole == (*first[:-3], *second[2:])
        # At most 107.8 frames of the whole, 72.7 of a half; and one frame more.
        assert [request.max_tokens // 7 for request in requests] == [109] * 3 + [74] * 4

    async def test_without_a_seed_each_attempt_draws_anew(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(20))
        await speak(build_chunk_synthesizer(bench), replace(JOB, params=replace(PARAMS, seed=None)))
        assert {request.seed for request in bench.engine.requests} == {None}
        assert {seed for _, seed in bench.decoder.calls} == {derive_seed(0, 3)}

    async def test_a_retry_of_temperature_0_samples(self, bench: Bench) -> None:
        """Greedy has one outcome: a retry of it would fail in the same way."""
        fail_all(bench, lambda: endless_script(20))
        sampling = replace(POCKET.sampling, temperature=0.0)
        await speak(
            build_chunk_synthesizer(bench), replace(JOB, params=replace(PARAMS, sampling=sampling))
        )
        requests = sorted(bench.engine.requests, key=lambda request: request.request_id)
        assert [request.sampling.temperature for request in requests] == [0.0] + [0.6] * 6

    async def test_a_text_of_one_word_is_not_cut(self, bench: Bench) -> None:
        bench.scripts.update({f"r-3-{number}": short_script(0) for number in (1, 2, 3)})
        spoken = await speak(
            build_chunk_synthesizer(bench),
            replace(JOB, chunk=POCKET_FRONT_END.prepare("Abcdefghijklmno.")),
        )
        assert spoken.report.num_attempts == 4
        assert [request.request_id for request in bench.engine.requests][-1] == "r-3-4"
        assert bench.engine.requests[-1].sampling.top_p == 0.9 * 0.9

    async def test_the_callers_own_limit_is_delivered_at_once(self, bench: Bench) -> None:
        """A rival takes it for an early end and generates the same text five times."""
        bench.scripts["r-3-1"] = short_script(60)
        sampling = replace(POCKET.sampling, max_tokens=140)
        job = replace(JOB, params=replace(PARAMS, sampling=sampling))
        spoken = await speak(build_chunk_synthesizer(bench), job)
        assert (spoken.report.num_attempts, spoken.report.verdict) == (1, None)
        assert spoken.samples.size == 20 * 2048


async def test_halves_are_joined_in_order(bench: Bench) -> None:
    fail_all(bench, lambda: short_script(0))
    halves = {"r-3-4-0": short_script(15), "r-3-4-1": short_script(11)}
    # The second half is there long before the first.
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
        chunk_synthesizer = build_chunk_synthesizer(bench)
        spoken = await speak(chunk_synthesizer)
        assert spoken.report.verdict is not None
        assert spoken.report.verdict.fault == fault
        assert (spoken.report.num_attempts, spoken.samples.size) == (5, num_frames * 2048)
        assert bench.decoder.calls[-1] == (num_frames, NOISE_SEED)
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.faults.total() == 5

    async def test_good_frames_of_a_split_attempt(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        del bench.scripts["r-3-5-0"]
        bench.scripts["r-3-5-1"] = loop_script(6)
        spoken = await speak(build_chunk_synthesizer(bench))
        assert spoken.report.verdict == Verdict(
            Fault.LOOP, 22, "half of the text: period 1 frames, 12 times"
        )
        assert spoken.samples.size == 22 * 2048

    async def test_the_first_of_equals(self, bench: Bench) -> None:
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-2"] = endless_script(20)
        bench.scripts["r-3-3"] = loop_script(20)
        spoken = await speak(build_chunk_synthesizer(bench))
        assert spoken.report.verdict == Verdict(Fault.TOKEN_LIMIT, 20, "no stop after 20 frames")

    @pytest.mark.parametrize("fault", list(BAD_RESULTS))
    async def test_one_that_cannot_be_heard_is_passed_over(
        self, bench: Bench, fault: Fault
    ) -> None:
        """The best by its length was decoded last of all, and delivered unheard: as NaN."""
        fail_all(bench, lambda: short_script(0))
        bench.scripts["r-3-1"] = endless_script(28)
        bench.scripts["r-3-2"] = endless_script(12)
        bench.decoder.results.extend([*ALL_TONES, BAD_RESULTS[fault]])
        spoken = await speak(build_chunk_synthesizer(bench))
        assert bench.decoder.calls[-1] == (12, NOISE_SEED)
        np.testing.assert_array_equal(spoken.samples, await heard_of(endless_script(12)))


class TestAllFailed:
    async def test_no_frame_worth_hearing(self, bench: Bench) -> None:
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

    async def test_none_that_can_be_heard(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(20))
        bench.decoder.results.extend([*ALL_TONES, *[GenerationFailed("no memory")] * 5])
        with pytest.raises(ChunkFailed):
            await speak(build_chunk_synthesizer(bench))
        assert not bench.decoder.results

    async def test_a_server_that_wants_no_second_best(self, bench: Bench) -> None:
        fail_all(bench, lambda: endless_script(28))
        with pytest.raises(ChunkFailed, match="could not be spoken in 2 attempts"):
            await speak(build_chunk_synthesizer(bench, may_be_degraded=False, max_attempts=2))
        assert bench.decoder.calls == []


class TestLive:
    """Somebody listens while it is made: what was heard cannot be taken back."""

    async def test_sound_comes_before_the_last_token(self, bench: Bench) -> None:
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
    async def test_a_retry_before_any_sound_is_not_heard(
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

    async def test_a_retry_before_the_listeners_turn_is_not_heard(self, bench: Bench) -> None:
        """19 frames of the first attempt lie in the buffer when it fails."""
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
    async def test_a_fault_after_which_nothing_can_come_ends_the_chunk(
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
    async def test_a_server_that_wants_no_second_best(self, bench: Bench, fault: Fault) -> None:
        """The listener is told, and hears nothing more of it."""
        script = bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        chunk_synthesizer = build_chunk_synthesizer(bench, may_be_degraded=False)
        live = Live(chunk_synthesizer)
        with pytest.raises(ChunkFailed, match="could not be spoken in 1 attempts"):
            await live.run()
        heard = await heard_of(script)
        np.testing.assert_array_equal(live.listener.samples, heard[: live.buffer.num_taken])
        assert live.buffer.num_taken > 0
        assert chunk_synthesizer.counts.num_degraded_chunks == 0

    async def test_engine_death_is_told_after_what_was_made(self, bench: Bench) -> None:
        error = EngineDead("core is gone")
        bench.scripts["r-3-1"] = Script(speech_ids(20), error=error, fail_at=70)
        live = Live(build_chunk_synthesizer(bench))
        with pytest.raises(EngineDead, match="core is gone"):
            await live.run()
        heard = await heard_of(short_script(10))
        np.testing.assert_array_equal(live.listener.samples, heard[:-120])
        assert len(bench.engine.requests) == 1

    async def test_halves_are_heard_once_both_are_good(self, bench: Bench) -> None:
        """The second half cannot be retried alone, and nobody may hear the first twice."""
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


@dataclass
class SlowListener(Live):
    """Takes only so many pieces before the chunk has ended."""

    num_pieces: int = 3

    async def run(self) -> Samples:
        speaking = asyncio.create_task(self._speak())
        async with aclosing(self.buffer.take(whole=False)) as pieces:
            while len(self.listener.pieces) < self.num_pieces:
                self.listener.pieces.append(await anext(pieces))
            await speaking
            self.listener.pieces += [samples async for samples in pieces]
        return self.listener.samples


FRAME, FADE = 2048, 120


class TestRollback:
    """A fault that was found after some was heard: the next attempt goes on in the middle."""

    @pytest.mark.parametrize(
        ("fault", "num_kept"),
        [
            # The good frames, of which three were heard.
            (Fault.LOOP, 9),
            (Fault.STALL, 5),
            # All frames, because nothing is wrong with them.
            (Fault.ENGINE_ERROR, 10),
            # Those that were heard.
            (Fault.RUNAWAY, 3),
        ],
    )
    async def test_the_listener_hears_one_utterance(
        self, bench: Bench, fault: Fault, num_kept: int
    ) -> None:
        """It ended there, and the rest of its text was missing."""
        bench.scripts["r-3-1"] = BAD_SCRIPTS[fault]
        bench.scripts["r-3-2"] = speech_from(num_kept, 29)
        chunk_synthesizer = build_chunk_synthesizer(bench)
        listener = SlowListener(chunk_synthesizer)
        heard = await listener.run()
        np.testing.assert_array_equal(heard, await heard_of(short_script(29)))
        report = listener.buffer.report
        assert (report.num_attempts, report.verdict) == (2, None)
        first, second = bench.engine.requests
        assert second == replace(
            first,
            request_id="r-3-2",
            prompt_token_ids=(*first.prompt_token_ids, *speech_ids(num_kept)),
            max_tokens=first.max_tokens - 7 * num_kept,
            seed=derive_seed(7, 3, 2),
        )
        assert (
            chunk_synthesizer.counts.rollbacks
            == chunk_synthesizer.counts.faults
            == Counter({fault: 1})
        )
        assert (
            chunk_synthesizer.counts.num_attempts,
            chunk_synthesizer.counts.num_degraded_chunks,
        ) == (2, 0)
        num_tokens = report.num_output_tokens - (29 - num_kept) * 7 - 1
        assert num_tokens == 7 * {Fault.LOOP: 20, Fault.STALL: 23, Fault.RUNAWAY: 108}.get(
            fault, 10
        )

    async def test_one_that_stopped_too_early(self, bench: Bench) -> None:
        bench.scripts["r-3-1"] = short_script(2)
        bench.scripts["r-3-2"] = speech_from(1, 29)
        listener = SlowListener(build_chunk_synthesizer(bench), num_pieces=1)
        np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(29)))
        assert listener.buffer.report.verdict is None
        assert kept_ids_of(bench.engine.requests[1]) == speech_ids(1)

    async def test_a_codec_that_failed_in_the_middle(self) -> None:
        """Its frames may be what the codec cannot say: those that nobody heard are drawn anew."""
        async with open_bench(decoder=BreakingDecoder(num_frames=6)) as bench:
            bench.scripts["r-3-1"] = short_script(29)
            bench.scripts["r-3-2"] = speech_from(3, 29)
            chunk_synthesizer = build_chunk_synthesizer(bench)
            listener = SlowListener(chunk_synthesizer)
            np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(29)))
            assert listener.buffer.report.verdict is None
            assert kept_ids_of(bench.engine.requests[1]) == speech_ids(3)
            assert chunk_synthesizer.counts.rollbacks == Counter({Fault.DECODE_ERROR: 1})

    async def test_without_a_seed_it_draws_anew(self, bench: Bench) -> None:
        bench.scripts["r-3-1"] = loop_script(9)
        listener = SlowListener(
            build_chunk_synthesizer(bench), job=replace(JOB, params=replace(PARAMS, seed=None))
        )
        await listener.run()
        assert [request.seed for request in bench.engine.requests] == [None, None]

    async def test_each_further_one_steps_back_but_never_behind_what_was_heard(
        self, bench: Bench
    ) -> None:
        """What led into a loop may do so again. From the fourth attempt on top_p is lower, and a
        text that was heard in part is not cut in two."""
        bench.scripts["r-3-1"] = loop_script(20)
        bench.scripts["r-3-2"] = loop_from(20, 22)
        bench.scripts["r-3-3"] = loop_from(16, 17)
        bench.scripts["r-3-4"] = loop_from(5, 12)
        bench.scripts["r-3-5"] = speech_from(3, 29)
        chunk_synthesizer = build_chunk_synthesizer(bench)
        listener = SlowListener(chunk_synthesizer)
        np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(29)))
        requests = bench.engine.requests
        kept = [len(kept_ids_of(request)) // 7 for request in requests]
        # 20 - 0; 22 - 6; 17 - 12; 12 - 18, but three were heard.
        assert kept == [0, 20, 16, 5, 3]
        assert [request.sampling.top_p for request in requests] == [0.9] * 3 + [0.9 * 0.9] * 2
        assert [request.request_id for request in requests][-1] == "r-3-5"
        assert listener.buffer.report.num_attempts == 5
        assert listener.buffer.report.verdict is None
        assert chunk_synthesizer.counts.rollbacks == Counter({Fault.LOOP: 4})

    async def test_a_loop_that_was_heard_is_marked(self, bench: Bench) -> None:
        """The good frames tell the model where it is, and new speech follows the loop."""
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = speech_from(9, 29)
        chunk_synthesizer = build_chunk_synthesizer(bench)
        listener = SlowListener(chunk_synthesizer, num_pieces=12)
        heard = await listener.run()
        num_taken = 12 * FRAME - FADE
        loop = await heard_of(loop_script(9))
        speech = await heard_of(short_script(29))
        np.testing.assert_array_equal(heard[:num_taken], loop[:num_taken])
        np.testing.assert_array_equal(heard[num_taken + 240 :], speech[9 * FRAME + 240 :])
        assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(speech)).max()
        verdict = Verdict(Fault.LOOP, 9, "period 1 frames, 12 times")
        assert listener.buffer.report.verdict == verdict
        assert kept_ids_of(bench.engine.requests[1]) == speech_ids(9)
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.rollbacks == Counter({Fault.LOOP: 1})

    async def test_a_second_fault_after_a_loop_that_was_heard(self, bench: Bench) -> None:
        """What was heard of the loop is no part of the speech that the frames are counted in."""
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = Script((), error=GenerationFailed("lost"))
        bench.scripts["r-3-3"] = Script(
            speech_from(9, 15).token_ids[:-1], error=GenerationFailed("lost"), fail_at=1000
        )
        bench.scripts["r-3-4"] = speech_from(15, 29)
        listener = SlowListener(build_chunk_synthesizer(bench), num_pieces=12)
        heard = await listener.run()
        kept = [len(kept_ids_of(request)) // 7 for request in bench.engine.requests]
        assert kept == [0, 9, 9, 15]
        speech = await heard_of(short_script(29))
        num_taken = 12 * FRAME - FADE
        np.testing.assert_array_equal(heard[num_taken + 240 :], speech[9 * FRAME + 240 :])
        verdict = listener.buffer.report.verdict
        assert verdict is not None
        assert verdict.fault == Fault.LOOP

    async def test_when_all_attempts_are_used_up(self, bench: Bench) -> None:
        """The good frames of the last are played to their end; of its loop nothing is."""
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = loop_from(9, 15)
        chunk_synthesizer = build_chunk_synthesizer(bench, max_attempts=2)
        listener = SlowListener(chunk_synthesizer)
        np.testing.assert_array_equal(await listener.run(), await heard_of(short_script(15)))
        verdict = Verdict(Fault.LOOP, 15, "period 1 frames, 12 times")
        assert listener.buffer.report.verdict == verdict
        assert chunk_synthesizer.counts.num_degraded_chunks == 1
        assert chunk_synthesizer.counts.rollbacks == Counter({Fault.LOOP: 1})

    async def test_all_attempts_failed_and_no_second_best_is_wanted(self, bench: Bench) -> None:
        bench.scripts["r-3-1"] = loop_script(9)
        bench.scripts["r-3-2"] = loop_from(9, 15)
        live = SlowListener(build_chunk_synthesizer(bench, may_be_degraded=False, max_attempts=2))
        with pytest.raises(ChunkFailed, match="could not be spoken in 2 attempts"):
            await live.run()
        heard = await heard_of(short_script(29))
        np.testing.assert_array_equal(live.listener.samples, heard[: 3 * FRAME - FADE])

    async def test_the_log(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        bench.scripts["r-3-1"] = loop_script(9)
        with caplog.at_level(logging.DEBUG, logger="orpheus_server"):
            await SlowListener(build_chunk_synthesizer(bench)).run()
        lines = [record.getMessage() for record in caplog.records]
        starts = [
            re.findall(r"attempt=(\d) fault=(\w+) .* resumed_at=(\d+)", line) for line in lines
        ]
        assert starts == [[("1", "loop", "0")], [("2", "none", "9")]]


class BreakingDecoder(ToneDecoder):
    """Fails once, when an utterance has so many frames."""

    def __init__(self, *, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> ToneUtterance:
        return BreakingUtterance(self, noise_seed, None)


class BreakingUtterance(ToneUtterance):
    def __init__(self, decoder: BreakingDecoder, noise_seed: int, result: None) -> None:
        super().__init__(decoder, noise_seed, result)
        self._breaking = decoder
        self._num_fed = 0

    async def feed(self, frames: Sequence[Frame], finish: PostProcess = as_decoded) -> Samples:
        self._num_fed += len(frames)
        if self._num_fed == self._breaking.num_frames:
            self._breaking.num_frames = 0
            raise GenerationFailed("no memory")
        return await super().feed(frames, finish)


class TestEngineDeath:
    async def test_it_ends_the_ladder_at_once(self, bench: Bench) -> None:
        """Retrying on a dead engine only delays the 503 that tells the caller to go elsewhere."""
        bench.scripts["r-3-1"] = Script((), error=EngineDead("core is gone"))
        chunk_synthesizer = build_chunk_synthesizer(bench)
        with pytest.raises(EngineDead, match="core is gone"):
            await speak(chunk_synthesizer)
        assert len(bench.engine.requests) == 1
        assert chunk_synthesizer.counts.faults == Counter()

    async def test_it_takes_the_other_half_along(self, bench: Bench) -> None:
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


async def test_cancelling_leaves_no_half_behind(bench: Bench) -> None:
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

"""Text to chunks, chunks ahead of each other, audio in order."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from orpheus_server.chunk_speaker import ChunkSpeaker
from orpheus_server.errors import ChunkFailed, EngineDead
from orpheus_server.fakes import Script, speech_script
from orpheus_server.interfaces import TokenRequest
from orpheus_server.planning import SpeechLimits, SpeechPlan
from orpheus_server.sampling import RetryPolicy, derive_seed
from orpheus_server.synthesizer import LOOK_AHEAD, SpeechFile, SpeechJob, Synthesizer
from orpheus_server.text import estimate_duration_sec
from tests.support import POCKET, Bench, endless_script, short_script, speech_ids, wait_for

LIMITS = SpeechLimits(chunk_max_chars=500, chunk_max_sec=50.0)
JOB = SpeechJob(
    request_id="r",
    plan=SpeechPlan(("Abcdefg hijklmno.",) * 4),
    voice=POCKET.default_voice,
    sampling=POCKET.sampling,
    seed=7,
    speed=1.0,
    response_format="pcm",
)


def build(
    bench: Bench, *, look_ahead: int = LOOK_AHEAD, may_be_degraded: bool = True
) -> Synthesizer:
    retries = RetryPolicy(max_attempts=2, default=POCKET.sampling)
    speaker = ChunkSpeaker(bench.runner, retries, may_be_degraded=may_be_degraded)
    return Synthesizer(
        speaker,
        bench.pool,
        sample_rate=24_000,
        limits=LIMITS,
        expected_sec=estimate_duration_sec,
        look_ahead=look_ahead,
    )


def job_of(num_chunks: int) -> SpeechJob:
    return replace(JOB, plan=SpeechPlan(JOB.plan.chunks[:1] * num_chunks))


def name_lengths(bench: Bench, num_frames: list[int], gate: asyncio.Event | None = None) -> None:
    """Chunk by chunk the number of frames that it is spoken in; told apart by it."""
    for index, num in enumerate(num_frames):
        script = speech_script(POCKET.layout, num)
        bench.scripts[f"r-{index}-1"] = replace(script, gate=gate)


def hang_from(bench: Bench, first: int, last: int) -> None:
    for index in range(first, last + 1):
        bench.scripts[f"r-{index}-1"] = Script(speech_ids(9), hangs_at_end=True)


async def spoken_frames(synthesizer: Synthesizer, job: SpeechJob) -> list[int]:
    async with aclosing(synthesizer.speak(job)) as chunks:
        return [chunk.samples.size // 2048 async for chunk in chunks]


@pytest.mark.anyio
class TestLookAhead:
    async def test_never_more_than_the_bound_at_once(self, bench: Bench) -> None:
        """A rival starts all chunks of a book at once, and everybody else waits behind it."""
        gate = asyncio.Event()
        lengths = list(range(4, 24))
        name_lengths(bench, lengths, gate)
        task = asyncio.create_task(spoken_frames(build(bench), job_of(20)))
        await wait_for(lambda: bench.engine.num_active == LOOK_AHEAD)
        await bench.pool.run(lambda: None)
        assert len(bench.engine.requests) == LOOK_AHEAD == 8
        gate.set()
        assert await task == lengths
        assert bench.engine.max_active == 8

    async def test_a_slow_reader_holds_the_rest_back(self, bench: Bench) -> None:
        """Memory for a request is bounded by what waits to be taken, not by its text."""
        async with aclosing(build(bench, look_ahead=3).speak(job_of(9))) as chunks:
            await anext(chunks)
            await wait_for(lambda: len(bench.decoder.calls) == 3)
            await bench.pool.run(lambda: None)
            assert len(bench.engine.requests) == 3
            await anext(chunks)
            assert len(bench.engine.requests) <= 4

    async def test_one_is_one_after_the_other(self, bench: Bench) -> None:
        assert await spoken_frames(build(bench, look_ahead=1), job_of(4)) == [16] * 4
        assert bench.engine.max_active == 1
        assert [each.request_id for each in bench.engine.requests] == [
            f"r-{index}-1" for index in range(4)
        ]

    async def test_order_is_kept_whatever_is_there_first(self, bench: Bench) -> None:
        """A rival writes chunks as they come: a long first sentence is heard last."""
        gate = asyncio.Event()
        name_lengths(bench, [30, 5, 6, 7])
        bench.scripts["r-0-1"] = replace(bench.scripts["r-0-1"], gate=gate)
        task = asyncio.create_task(spoken_frames(build(bench), JOB))
        await wait_for(lambda: len(bench.decoder.calls) == 3)
        gate.set()
        assert await task == [30, 5, 6, 7]
        assert sorted(num_frames for num_frames, _ in bench.decoder.calls[:3]) == [5, 6, 7]


@pytest.mark.anyio
class TestEnding:
    async def test_closing_midway_stops_what_runs(self, bench: Bench) -> None:
        hang_from(bench, 1, 3)
        before = asyncio.all_tasks()
        chunks = build(bench).speak(JOB)
        await anext(chunks)
        await wait_for(lambda: bench.engine.num_active == 3)
        await chunks.aclose()
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 3)
        assert asyncio.all_tasks() == before

    async def test_cancelling_stops_what_runs(self, bench: Bench) -> None:
        """A caller's cancelled task left its generations to run to the token limit elsewhere."""
        hang_from(bench, 0, 3)
        before = asyncio.all_tasks()
        task = asyncio.create_task(build(bench).collect(JOB))
        await wait_for(lambda: bench.engine.num_active == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 4)
        assert asyncio.all_tasks() == before

    @pytest.mark.parametrize(
        ("script", "error"),
        [
            (Script((), error=EngineDead("core is gone")), EngineDead),
            (Script((), error=ValueError("a bug of ours")), ValueError),
        ],
    )
    async def test_a_failure_takes_the_siblings_along(
        self, bench: Bench, script: Script, error: type[Exception]
    ) -> None:
        gate = asyncio.Event()
        hang_from(bench, 1, 3)
        bench.scripts["r-0-1"] = replace(script, gate=gate)
        before = asyncio.all_tasks()
        task = asyncio.create_task(build(bench).collect(JOB))
        await wait_for(lambda: bench.engine.num_active == 4)
        gate.set()
        with pytest.raises(error):
            await task
        assert bench.engine.num_active == 0
        assert asyncio.all_tasks() <= before | {task}

    async def test_a_failed_chunk_fails_the_request(self, bench: Bench) -> None:
        bench.scripts.update({f"r-2-{number}": endless_script(15) for number in (1, 2)})
        with pytest.raises(ChunkFailed, match="part 3 of the text"):
            await build(bench, may_be_degraded=False).collect(JOB)


@pytest.mark.anyio
class TestCollect:
    async def test_one_file_and_what_it_took(self, bench: Bench) -> None:
        name_lengths(bench, [15, 16, 17])
        bench.scripts["r-1-1"] = short_script(0)
        bench.scripts.update({f"r-2-{number}": endless_script(20) for number in (1, 2)})
        file = await build(bench).collect(job_of(3))
        num_frames = 15 + 16 + 20
        assert len(file.data) == 2 * 2048 * num_frames
        stats = file.stats
        assert stats.audio_sec == pytest.approx(2048 * num_frames / 24_000)
        assert (stats.num_chunks, stats.num_degraded_chunks, stats.num_attempts) == (3, 1, 5)
        assert stats.num_prompt_tokens == 3 * 17
        # Of every attempt: one stop alone, and both that ran to the limit.
        assert stats.num_output_tokens == 15 * 7 + 1 + 1 + 16 * 7 + 1 + 2 * 20 * 7
        assert stats.num_dropped_symbols == 0

    @pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
    async def test_speed_changes_the_length(self, bench: Bench, speed: float) -> None:
        file = await build(bench).collect(replace(JOB, speed=speed))
        num_samples = len(file.data) // 2
        assert num_samples == pytest.approx(4 * 16 * 2048 / speed, abs=1500)
        assert file.stats.audio_sec == pytest.approx(num_samples / 24_000)

    async def test_same_seed_same_requests_and_samples(self, bench: Bench) -> None:
        async def speak(seed: int | None) -> tuple[SpeechFile, list[TokenRequest]]:
            bench.engine.requests.clear()
            file = await build(bench).collect(replace(JOB, seed=seed))
            return file, sorted(bench.engine.requests, key=lambda each: each.request_id)

        first, first_requests = await speak(7)
        again, requests = await speak(7)
        assert (again.data, requests) == (first.data, first_requests)
        assert [each.seed for each in requests] == [derive_seed(7, index, 1) for index in range(4)]
        _, others = await speak(8)
        assert [each.seed for each in others] == [derive_seed(8, index, 1) for index in range(4)]
        assert [replace(each, seed=None) for each in others] == [
            replace(each, seed=None) for each in requests
        ]
        _, unseeded = await speak(None)
        assert {each.seed for each in unseeded} == {None}

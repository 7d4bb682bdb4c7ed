"""Chunks that are generated ahead of the one that is played."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from orpheus_server.synthesis.job import SpeechStats
from orpheus_server.synthesis.retry import derive_seed
from orpheus_server.synthesis.synthesizer import LEAD_SEC, LIVE_LOOK_AHEAD, LOOK_AHEAD
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.front_end import PreparedText
from tests.support.app import (
    POCKET_FRONT_END,
    Bench,
    chunks_of,
    held_script,
    kept_ids_of,
    loop_script,
    open_bench,
    other_tasks,
    short_script,
    speech_ids,
    wait_for,
)
from tests.support.synthesis import (
    CHUNK,
    FADE,
    FRAME,
    LONG_CHUNK,
    PREPARED_CHUNK,
    RATE,
    answer,
    audio_of,
    build,
    check_num_started,
    collect,
    frames_by_chunk,
    job_of,
    pcm_of,
    pieces_of,
    set_lengths,
    take_chunk,
)


@pytest.mark.anyio
class TestLookAhead:
    @pytest.mark.parametrize(("is_live", "bound"), [(True, LIVE_LOOK_AHEAD), (False, 18)])
    async def test_at_most_the_bound_is_generated_at_the_same_time(
        self, bench: Bench, is_live: bool, bound: int
    ) -> None:
        """Another server starts all chunks of a book immediately, and all other requests wait.

        A nineteenth chunk would raise the throughput by less than 5 %.
        """
        gate = asyncio.Event()
        lengths = list(range(5, 45))
        set_lengths(bench, lengths, gate)
        task = asyncio.create_task(answer(build(bench), job_of(40), is_live=is_live))
        await wait_for(lambda: bench.engine.num_active == bound)
        await bench.settle()
        assert len(bench.engine.requests) == bound
        gate.set()
        assert await task == pcm_of(await audio_of([short_script(num) for num in lengths]))
        assert bench.engine.max_active == bound
        assert len(bench.engine.requests) == 40

    def test_the_bounds(self) -> None:
        assert (LIVE_LOOK_AHEAD, LOOK_AHEAD) == (3, 32)

    async def test_a_stalled_reader_stops_the_look_ahead(self, bench: Bench) -> None:
        """The look-ahead bounds the memory of a request, whatever the length of its text."""
        async with aclosing(build(bench).stream(job_of(9), SpeechStats())) as pieces:
            await anext(pieces)
            await check_num_started(bench, LIVE_LOOK_AHEAD)
            await wait_for(lambda: bench.engine.num_active == 0)
            seeds = sorted(derive_seed(7, index) for index in range(LIVE_LOOK_AHEAD))
            await wait_for(lambda: sorted(bench.decoder.calls) == [(16, seed) for seed in seeds])
            await check_num_started(bench, LIVE_LOOK_AHEAD)

    async def test_the_next_chunk_starts_when_one_has_been_taken(self, bench: Bench) -> None:
        async with aclosing(build(bench).stream(job_of(9), SpeechStats())) as pieces:
            for num_taken in range(4):
                await take_chunk(pieces, 16)
                await check_num_started(bench, num_taken + LIVE_LOOK_AHEAD)

    @pytest.mark.parametrize(
        ("is_live", "num_streams", "num_at_once"),
        [(True, 12, 3), (True, 3, 2), (True, 1, 1), (False, 16, 9), (False, 3, 3), (False, 1, 1)],
    )
    async def test_under_load_fewer_chunks_are_generated_ahead(
        self, bench: Bench, is_live: bool, num_streams: int, num_at_once: int
    ) -> None:
        """Chunks generated ahead took the slots of requests that waited for their first chunk."""
        gate = asyncio.Event()
        set_lengths(bench, [16] * 9, gate)
        job = job_of(chunks_of(*[LONG_CHUNK] * 9))
        task = asyncio.create_task(
            answer(build(bench, num_streams=num_streams), job, is_live=is_live)
        )
        await check_num_started(bench, num_at_once)
        gate.set()
        await task
        assert bench.engine.max_active == num_at_once
        assert len(bench.engine.requests) == 9

    async def test_a_chunk_that_takes_long_does_not_hold_up_the_others(self, bench: Bench) -> None:
        """They are held until they are in turn; the bound is that of memory."""
        gate = asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(16), gate)
        task = asyncio.create_task(collect(build(bench, num_streams=4), job_of(LOOK_AHEAD + 8)))
        await check_num_started(bench, LOOK_AHEAD)
        await wait_for(lambda: bench.engine.num_active == 1)
        gate.set()
        assert await task
        assert (bench.engine.max_active, len(bench.engine.requests)) == (4, LOOK_AHEAD + 8)

    async def test_as_many_run_as_there_is_room_for_while_any_waits(self, bench: Bench) -> None:
        """Of a file of 24 sentences one or two ran at a time after the first four."""
        gates = [asyncio.Event() for _ in range(12)]
        for index, gate in enumerate(gates):
            bench.scripts[f"r-{index}-1"] = held_script(short_script(16), gate)
        task = asyncio.create_task(collect(build(bench, num_streams=4), job_of(12)))
        for num_ended, index in enumerate([2, 0, 3, 1, 4, 7, 5, 6]):
            await check_num_started(bench, 4 + num_ended)
            assert bench.engine.num_active == 4
            gates[index].set()
        for gate in gates:
            gate.set()
        await task

    async def test_a_file_pauses_for_a_stream_and_continues_after_its_last_frame(
        self, bench: Bench
    ) -> None:
        """Its chunks delayed the first sound of every stream."""
        gates = [asyncio.Event() for _ in range(3)]
        for index, gate in enumerate(gates):
            bench.scripts[f"file-{index}-1"] = held_script(
                short_script(30), gate, num_free_frames=4
            )
        synthesizer = build(bench, num_streams=3)
        file = asyncio.create_task(collect(synthesizer, job_of(3, request_id="file")))
        await wait_for(lambda: bench.engine.num_active == 3)
        bench.scripts["r-0-1"] = held_script(short_script(30), stream_gate := asyncio.Event())
        stream = asyncio.create_task(pieces_of(synthesizer, job_of(1)))
        await wait_for(lambda: bench.engine.num_active == 4)
        for gate in gates:
            gate.set()
        await wait_for(lambda: bench.engine.num_active == 1)
        resumed = [each for each in bench.engine.requests if "resumed" in each.request_id]
        assert resumed == []
        stream_gate.set()
        await stream
        await file
        resumed = [each for each in bench.engine.requests if "resumed" in each.request_id]
        assert [each.request_id for each in resumed] == ["file-1-1-resumed-1", "file-2-1-resumed-1"]
        assert {kept_ids_of(each) for each in resumed} == {speech_ids(5)}

    async def test_a_chunk_starts_before_the_previous_one_has_ended(self, bench: Bench) -> None:
        """Otherwise the player runs dry between them if speech is generated just in time."""
        gate = asyncio.Event()
        num_expected = estimate_duration_sec(LONG_CHUNK) - LEAD_SEC
        num_frames = math.ceil((num_expected * RATE + FADE) / FRAME)
        for num_free in (num_frames - 1, num_frames):
            bench.engine.requests.clear()
            bench.scripts["r-0-1"] = held_script(short_script(60), gate, num_free_frames=num_free)
            job = job_of(chunks_of(LONG_CHUNK, CHUNK))
            async with aclosing(build(bench, num_streams=1).stream(job, SpeechStats())) as pieces:
                await anext(pieces)
                await check_num_started(bench, 1 + (num_free == num_frames))

    async def test_the_chunk_after_a_very_short_one_starts_with_it(self, bench: Bench) -> None:
        """It waited for the end of "Yes.", and was late for the player."""
        gate = asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(5), gate, num_free_frames=0)
        pieces = build(bench, num_streams=1).stream(job_of(chunks_of("Yes.", CHUNK)), SpeechStats())
        async with aclosing(pieces):
            first = asyncio.create_task(anext(pieces))
            await check_num_started(bench, 2)
            gate.set()
            await first

    async def test_an_unread_stream_starts_no_generation(self, bench: Bench) -> None:
        pieces = build(bench).stream(job_of(), SpeechStats())
        await bench.settle()
        await pieces.aclose()
        assert bench.engine.requests == []

    @pytest.mark.parametrize("is_live", [True, False])
    async def test_the_order_is_kept_whichever_chunk_finishes_first(
        self, bench: Bench, is_live: bool
    ) -> None:
        """Another server writes chunks as they finish: a long first sentence is heard last."""
        gate = asyncio.Event()
        lengths = [30, 5, 6]
        set_lengths(bench, lengths)
        bench.scripts["r-0-1"] = held_script(short_script(30), gate)
        task = asyncio.create_task(answer(build(bench), job_of(3), is_live=is_live))
        await wait_for(lambda: len(bench.decoder.calls) == 2)
        gate.set()
        assert await task == pcm_of(await audio_of([short_script(num) for num in lengths]))
        assert sorted(num_frames for num_frames, _ in bench.decoder.calls[:2]) == [5, 6]

    async def test_a_chunk_is_heard_while_it_and_the_next_are_generated(self, bench: Bench) -> None:
        gate = asyncio.Event()
        set_lengths(bench, [16, 16, 16])
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=2)
        async with aclosing(build(bench).stream(job_of(3), SpeechStats())) as pieces:
            sizes = [len((await anext(pieces)).data) // 2 for _ in range(2)]
            assert sizes == [FRAME - FADE, FRAME]
            await wait_for(lambda: len(bench.decoder.calls) == 2)
            assert bench.engine.num_active == 1
            gate.set()

    async def test_a_retry_of_a_later_chunk_is_not_heard(self, bench: Bench) -> None:
        """It ends while the previous chunk is still played."""
        gate = asyncio.Event()
        set_lengths(bench, [16, 16])
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=2)
        bench.scripts["r-1-1"] = loop_script(9)
        bench.scripts["r-1-2"] = short_script(13)
        stats = SpeechStats()
        task = asyncio.create_task(pieces_of(build(bench), job_of(2), stats))
        await wait_for(lambda: bench.decoder.calls == [(13, derive_seed(7, 1))])
        gate.set()
        assert frames_by_chunk(await task) == [16, 13]
        assert (stats.num_attempts, stats.degraded_chunks) == (3, [])


@pytest.mark.anyio
class TestOneAtATime:
    async def test_chunks_and_requests_take_turns(self) -> None:
        async with open_bench(one_at_a_time=True) as bench:
            synthesizer = build(bench)
            jobs = [job_of(3, request_id=f"r{number}") for number in range(4)]
            answers = await asyncio.gather(
                *(answer(synthesizer, job, is_live=index < 2) for index, job in enumerate(jobs))
            )
            assert bench.engine.max_active == 1
            assert len(bench.engine.requests) == 12
            assert len(set(answers)) == 1

    async def test_a_stalled_reader_does_not_delay_other_requests(self) -> None:
        async with open_bench(one_at_a_time=True) as bench:
            synthesizer = build(bench)
            async with aclosing(synthesizer.stream(job_of(9), SpeechStats())) as pieces:
                await anext(pieces)
                other = await answer(synthesizer, job_of(9, request_id="other"), is_live=True)
                assert other == pcm_of(await audio_of([short_script(16)] * 9))
                await wait_for(lambda: len(bench.engine.requests) == LIVE_LOOK_AHEAD + 9)
                assert bench.engine.max_active == 1


@pytest.mark.anyio
class TestLateText:
    async def test_it_does_not_delay_earlier_chunks(self, bench: Bench) -> None:
        gate = asyncio.Event()

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            yield PREPARED_CHUNK
            await gate.wait()
            yield POCKET_FRONT_END.prepare("Bcdefgh.")

        stats = SpeechStats()
        async with aclosing(build(bench).stream(job_of(chunks()), stats)) as pieces:
            await take_chunk(pieces, 16)
            assert (len(bench.engine.requests), bench.engine.num_active) == (1, 0)
            rest = asyncio.create_task(anext(pieces))
            await bench.settle()
            assert not rest.done()
            gate.set()
            piece = await rest
            assert (piece.chunk, piece.text, piece.start_sample) == (1, "Bcdefgh.", 16 * FRAME)
        assert stats.num_chunks == 1

    async def test_it_is_not_requested_beyond_the_look_ahead(self, bench: Bench) -> None:
        requested: list[int] = []

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            for index in range(9):
                requested.append(index)
                yield PREPARED_CHUNK

        async with aclosing(build(bench).stream(job_of(chunks()), SpeechStats())) as pieces:
            await anext(pieces)
            await wait_for(lambda: len(requested) >= LIVE_LOOK_AHEAD)
            await bench.settle()
            assert requested == [0, 1, 2]

    async def test_its_failure_is_raised_after_the_audio_before_it(self, bench: Bench) -> None:
        async def chunks() -> AsyncGenerator[PreparedText, None]:
            yield PREPARED_CHUNK
            yield PREPARED_CHUNK
            raise ValueError("no more text")

        before = other_tasks()
        async with aclosing(build(bench).stream(job_of(chunks()), SpeechStats())) as pieces:
            await take_chunk(pieces, 16)
            await take_chunk(pieces, 16)
            with pytest.raises(ValueError, match="no more text"):
                await anext(pieces)
        assert other_tasks() == before

    async def test_it_is_closed_with_the_stream(self, bench: Bench) -> None:
        steps: list[str] = []

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            try:
                yield PREPARED_CHUNK
                await asyncio.Event().wait()
            finally:
                steps.append("closed")

        async with aclosing(build(bench).stream(job_of(chunks()), SpeechStats())) as pieces:
            await anext(pieces)
            assert steps == []
        assert steps == ["closed"]

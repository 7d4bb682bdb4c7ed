"""Chunks that are generated ahead of the one that is played."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from orpheus_server.errors import RequestError
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
    loop_script,
    open_bench,
    other_tasks,
    short_script,
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
    build,
    check_begun,
    frames_by_chunk,
    job_of,
    name_lengths,
    pcm_of,
    pieces_of,
    sound_of,
    take_chunk,
)


@pytest.mark.anyio
class TestLookAhead:
    @pytest.mark.parametrize(("is_live", "bound"), [(True, LIVE_LOOK_AHEAD), (False, LOOK_AHEAD)])
    async def test_never_more_than_the_bound_at_once(
        self, bench: Bench, is_live: bool, bound: int
    ) -> None:
        """A rival starts all chunks of a book at once, and everybody else waits behind it."""
        gate = asyncio.Event()
        lengths = list(range(5, 25))
        name_lengths(bench, lengths, gate)
        task = asyncio.create_task(answer(build(bench), job_of(20), is_live=is_live))
        await wait_for(lambda: bench.engine.num_active == bound)
        await bench.settle()
        assert len(bench.engine.requests) == bound
        gate.set()
        assert await task == pcm_of(await sound_of([short_script(num) for num in lengths]))
        assert bench.engine.max_active == bound
        assert len(bench.engine.requests) == 20

    def test_the_bounds(self) -> None:
        assert (LIVE_LOOK_AHEAD, LOOK_AHEAD) == (3, 8)

    async def test_a_reader_who_does_not_read_holds_the_rest_back(self, bench: Bench) -> None:
        """Memory for a request is bounded by what waits to be taken, not by its text."""
        async with aclosing(build(bench).stream(job_of(9), SpeechStats())) as pieces:
            await anext(pieces)
            await check_begun(bench, LIVE_LOOK_AHEAD)
            await wait_for(lambda: bench.engine.num_active == 0)
            seeds = sorted(derive_seed(7, index) for index in range(LIVE_LOOK_AHEAD))
            await wait_for(lambda: sorted(bench.decoder.calls) == [(16, seed) for seed in seeds])
            await check_begun(bench, LIVE_LOOK_AHEAD)

    async def test_the_next_begins_when_one_has_been_taken(self, bench: Bench) -> None:
        async with aclosing(build(bench).stream(job_of(9), SpeechStats())) as pieces:
            for num_taken in range(4):
                await take_chunk(pieces, 16)
                await check_begun(bench, num_taken + LIVE_LOOK_AHEAD)

    @pytest.mark.parametrize(
        ("is_live", "num_streams", "num_at_once"),
        [(True, 12, 3), (True, 3, 2), (True, 1, 1), (False, 16, 8), (False, 3, 3), (False, 1, 1)],
    )
    async def test_a_loaded_engine_makes_one_chunk_after_the_other(
        self, bench: Bench, is_live: bool, num_streams: int, num_at_once: int
    ) -> None:
        """Chunks that nobody heard yet took the slots of callers who waited for their first."""
        gate = asyncio.Event()
        name_lengths(bench, [16] * 9, gate)
        job = job_of(chunks_of(*[LONG_CHUNK] * 9))
        task = asyncio.create_task(
            answer(build(bench, num_streams=num_streams), job, is_live=is_live)
        )
        await check_begun(bench, num_at_once)
        gate.set()
        await task
        assert bench.engine.max_active == num_at_once
        assert len(bench.engine.requests) == 9

    async def test_a_chunk_begins_before_the_one_before_it_has_ended(self, bench: Bench) -> None:
        """Else the player runs dry between them where speech is made just in time."""
        gate = asyncio.Event()
        num_expected = estimate_duration_sec(LONG_CHUNK) - LEAD_SEC
        num_frames = math.ceil((num_expected * RATE + FADE) / FRAME)
        for num_free in (num_frames - 1, num_frames):
            bench.engine.requests.clear()
            bench.scripts["r-0-1"] = held_script(short_script(60), gate, num_free_frames=num_free)
            job = job_of(chunks_of(LONG_CHUNK, CHUNK))
            async with aclosing(build(bench, num_streams=1).stream(job, SpeechStats())) as pieces:
                await anext(pieces)
                await check_begun(bench, 1 + (num_free == num_frames))

    async def test_an_answer_that_nobody_asks_for_is_not_begun(self, bench: Bench) -> None:
        pieces = build(bench).stream(job_of(), SpeechStats())
        await bench.settle()
        await pieces.aclose()
        assert bench.engine.requests == []

    @pytest.mark.parametrize("is_live", [True, False])
    async def test_order_is_kept_whatever_is_there_first(self, bench: Bench, is_live: bool) -> None:
        """A rival writes chunks as they come: a long first sentence is heard last."""
        gate = asyncio.Event()
        lengths = [30, 5, 6]
        name_lengths(bench, lengths)
        bench.scripts["r-0-1"] = held_script(short_script(30), gate)
        task = asyncio.create_task(answer(build(bench), job_of(3), is_live=is_live))
        await wait_for(lambda: len(bench.decoder.calls) == 2)
        gate.set()
        assert await task == pcm_of(await sound_of([short_script(num) for num in lengths]))
        assert sorted(num_frames for num_frames, _ in bench.decoder.calls[:2]) == [5, 6]

    async def test_a_chunk_is_heard_while_it_and_the_next_are_made(self, bench: Bench) -> None:
        gate = asyncio.Event()
        name_lengths(bench, [16, 16, 16])
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=2)
        async with aclosing(build(bench).stream(job_of(3), SpeechStats())) as pieces:
            sizes = [len((await anext(pieces)).data) // 2 for _ in range(2)]
            assert sizes == [FRAME - FADE, FRAME]
            await wait_for(lambda: len(bench.decoder.calls) == 2)
            assert bench.engine.num_active == 1
            gate.set()

    async def test_a_retry_of_a_later_chunk_is_not_heard(self, bench: Bench) -> None:
        """It is over while the chunk before it plays."""
        gate = asyncio.Event()
        name_lengths(bench, [16, 16])
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

    async def test_a_reader_who_does_not_read_holds_nobody_up(self) -> None:
        async with open_bench(one_at_a_time=True) as bench:
            synthesizer = build(bench)
            async with aclosing(synthesizer.stream(job_of(9), SpeechStats())) as pieces:
                await anext(pieces)
                other = await answer(synthesizer, job_of(9, request_id="other"), is_live=True)
                assert other == pcm_of(await sound_of([short_script(16)] * 9))
                await wait_for(lambda: len(bench.engine.requests) == LIVE_LOOK_AHEAD + 9)
                assert bench.engine.max_active == 1


@pytest.mark.anyio
class TestLateText:
    async def test_it_does_not_hold_back_what_is_there(self, bench: Bench) -> None:
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

    async def test_it_is_not_asked_for_before_there_is_room(self, bench: Bench) -> None:
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

    async def test_its_failure_comes_after_what_was_spoken(self, bench: Bench) -> None:
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

    @pytest.mark.parametrize("is_live", [True, False])
    async def test_no_text_is_no_answer(self, bench: Bench, is_live: bool) -> None:
        """An empty body with status 200 would be taken for one."""
        with pytest.raises(RequestError, match="nothing to speak"):
            await answer(build(bench), job_of(0), is_live=is_live)

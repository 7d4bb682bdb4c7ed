"""Text to chunks, chunks ahead of each other, audio in order while it is made."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import pytest

from orpheus_server.audio.encoders import PcmEncoder, wav_header
from orpheus_server.errors import ChunkFailed, EngineDead, RequestError
from orpheus_server.fakes import Script, ToneDecoder, ToneUtterance
from orpheus_server.interfaces import Deadline, Samples, TokenRequest
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import ChunkSynthesizer
from orpheus_server.synthesis.job import AudioPiece, SpeechJob, SpeechParams, SpeechStats
from orpheus_server.synthesis.retry import RetryPolicy, derive_seed
from orpheus_server.synthesis.synthesizer import LEAD_SEC, LIVE_LOOK_AHEAD, LOOK_AHEAD, Synthesizer
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.front_end import FrontEnd, PhonemeFrontEnd, PreparedText
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    CountingPhonemizer,
    VirtualClock,
    change_tempo,
    chunks_of,
    endless_script,
    heard_of,
    held_script,
    join_pieces,
    kept_ids_of,
    loop_script,
    open_bench,
    other_tasks,
    short_script,
    speech_from,
    speech_ids,
    wait_for,
)

RATE, FRAME, FADE = 24_000, 2048, 120
LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)
CHUNK = "Abcdefg hijklmno."  # 16 frames where a test does not say how many
PREPARED_CHUNK = POCKET_FRONT_END.prepare(CHUNK)

LONG_CHUNK = "Some letters of a text, which take a good while to be said."


def build(
    bench: Bench,
    *,
    may_be_degraded: bool = True,
    num_streams: int = 256,
    clock: VirtualClock | None = None,
    front_end: FrontEnd = POCKET_FRONT_END,
    limits: ChunkLimits = LIMITS,
    max_attempts: int = 2,
) -> Synthesizer:
    retries = RetryPolicy(max_attempts=max_attempts, default=POCKET.sampling)
    chunk_synthesizer = ChunkSynthesizer(
        bench.runner, front_end, bench.pool, retries, may_be_degraded=may_be_degraded
    )
    return Synthesizer(
        chunk_synthesizer,
        bench.pool,
        sample_rate=RATE,
        limits=limits,
        front_end=front_end,
        capacity=Capacity(ceiling=num_streams),
        clock=clock or time.monotonic,
        call_later=clock.call_later if clock else None,
    )


def job_of(
    chunks: int | AsyncGenerator[PreparedText, None] = 4,
    *,
    request_id: str = "r",
    params: SpeechParams = PARAMS,
) -> SpeechJob:
    """A request for so many chunks, or for these."""
    if isinstance(chunks, int):
        chunks = chunks_of(*[CHUNK] * chunks)
    return SpeechJob(request_id, chunks, params)


def name_lengths(bench: Bench, num_frames: list[int], gate: asyncio.Event | None = None) -> None:
    """Chunk by chunk the number of frames that it is spoken in; told apart by it."""
    for index, num in enumerate(num_frames):
        bench.scripts[f"r-{index}-1"] = replace(short_script(num), gate=gate)


def hang_from(bench: Bench, first: int, last: int) -> None:
    for index in range(first, last + 1):
        bench.scripts[f"r-{index}-1"] = Script(speech_ids(9), hangs_at_end=True)


async def pieces_of(
    synthesizer: Synthesizer, job: SpeechJob, stats: SpeechStats | None = None
) -> list[AudioPiece]:
    """All pieces of a stream."""
    async with aclosing(synthesizer.stream(job, stats or SpeechStats())) as pieces:
        return [piece async for piece in pieces]


async def listen(
    synthesizer: Synthesizer, job: SpeechJob, stats: SpeechStats, heard: list[AudioPiece]
) -> None:
    """Keeps the pieces of a stream as they come, all but the end of its format."""
    async with aclosing(synthesizer.stream(job, stats)) as pieces:
        async for piece in pieces:
            if piece.chunk is not None:
                heard.append(piece)


def has_size(pieces: list[AudioPiece], num_pieces: int) -> bool:
    return len(pieces) == num_pieces


def data_of(pieces: list[AudioPiece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


async def take_chunk(pieces: AsyncGenerator[AudioPiece, None], num_frames: int) -> None:
    """A whole chunk: a piece for each frame, and the fade."""
    sizes = [len((await anext(pieces)).data) // 2 for _ in range(num_frames + 1)]
    assert sizes == [FRAME - FADE, *[FRAME] * (num_frames - 1), FADE]


def frames_by_chunk(pieces: list[AudioPiece]) -> list[int]:
    """The number of frames of each chunk in a row."""
    assert [piece.chunk for piece in pieces[:-1]] == sorted(
        piece.chunk for piece in pieces[:-1] if piece.chunk is not None
    )
    num_bytes: dict[int | None, int] = {}
    for piece in pieces[:-1]:
        num_bytes[piece.chunk] = num_bytes.get(piece.chunk, 0) + len(piece.data)
    return [num // (2 * FRAME) for num in num_bytes.values()]


async def check_begun(bench: Bench, num_requests: int) -> None:
    """So many generations begin, and no more."""
    await wait_for(lambda: len(bench.engine.requests) >= num_requests)
    await bench.settle()
    assert len(bench.engine.requests) == num_requests


async def collect(synthesizer: Synthesizer, job: SpeechJob) -> bytes:
    return await synthesizer.collect(job, SpeechStats())


async def answer(synthesizer: Synthesizer, job: SpeechJob, *, is_live: bool) -> bytes:
    if is_live:
        return b"".join(piece.data for piece in await pieces_of(synthesizer, job))
    return await collect(synthesizer, job)


async def sound_of(scripts: list[Script]) -> Samples:
    """What chunks that are spoken by these scripts sound like in a row."""
    return join_pieces([await heard_of(script) for script in scripts])


def pcm_of(samples: Samples) -> bytes:
    return PcmEncoder().feed(samples)


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


@pytest.mark.anyio
class TestEnding:
    async def test_closing_midway_stops_what_runs(self, bench: Bench) -> None:
        hang_from(bench, 0, 3)
        before = other_tasks()
        pieces = build(bench).stream(job_of(), SpeechStats())
        await anext(pieces)
        await wait_for(lambda: bench.engine.num_active == 3)
        await pieces.aclose()
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 3)
        assert other_tasks() == before
        assert len(bench.engine.requests) == 3

    @pytest.mark.parametrize(("is_live", "num_active"), [(True, 3), (False, 4)])
    async def test_cancelling_stops_what_runs(
        self, bench: Bench, is_live: bool, num_active: int
    ) -> None:
        """A caller's cancelled task left its generations to run to the token limit elsewhere."""
        hang_from(bench, 0, 3)
        before = other_tasks()
        task = asyncio.create_task(answer(build(bench), job_of(), is_live=is_live))
        await wait_for(lambda: bench.engine.num_active == num_active)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, num_active)
        assert other_tasks() == before

    @pytest.mark.parametrize("is_live", [True, False])
    @pytest.mark.parametrize(
        ("script", "error"),
        [
            (Script((), error=EngineDead("core is gone")), EngineDead),
            (Script((), error=ValueError("a bug of ours")), ValueError),
        ],
    )
    async def test_a_failure_takes_the_siblings_along(
        self, bench: Bench, script: Script, error: type[Exception], is_live: bool
    ) -> None:
        gate = asyncio.Event()
        hang_from(bench, 1, 2)
        bench.scripts["r-0-1"] = replace(script, gate=gate)
        before = other_tasks()
        task = asyncio.create_task(answer(build(bench), job_of(3), is_live=is_live))
        await wait_for(lambda: bench.engine.num_active == 3)
        gate.set()
        with pytest.raises(error):
            await task
        assert (bench.engine.num_active, len(bench.engine.requests)) == (0, 3)
        assert other_tasks() == before

    async def test_a_failure_of_a_later_chunk_comes_in_its_turn(self, bench: Bench) -> None:
        """What is being played is good, and nobody can take back that it began."""
        gate = asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=1)
        bench.scripts["r-1-1"] = Script((), error=ValueError("a bug of ours"))
        hang_from(bench, 2, 2)
        before = other_tasks()
        stats = SpeechStats()
        pieces = build(bench).stream(job_of(), stats)
        await anext(pieces)
        await wait_for(lambda: len(bench.engine.requests) == 3 and bench.engine.num_active == 2)
        gate.set()
        for _ in range(16):
            assert (await anext(pieces)).chunk == 0
        with pytest.raises(ValueError, match="a bug of ours"):
            await anext(pieces)
        assert bench.engine.num_active == 0
        assert other_tasks() == before
        assert stats.num_chunks == 1

    @pytest.mark.parametrize("is_live", [True, False])
    async def test_a_failed_chunk_fails_the_request(self, bench: Bench, is_live: bool) -> None:
        bench.scripts.update({f"r-2-{number}": endless_script(15) for number in (1, 2)})
        with pytest.raises(ChunkFailed, match="part 3 of the text"):
            await answer(build(bench, may_be_degraded=False), job_of(), is_live=is_live)

    async def test_a_rate_that_the_format_lacks(self, bench: Bench) -> None:
        """Found before anything is generated for it."""
        synthesizer = Synthesizer(
            ChunkSynthesizer(
                bench.runner,
                POCKET_FRONT_END,
                bench.pool,
                RetryPolicy(max_attempts=1, default=POCKET.sampling),
                may_be_degraded=True,
            ),
            bench.pool,
            sample_rate=12_345,
            limits=LIMITS,
            front_end=POCKET_FRONT_END,
            capacity=Capacity(ceiling=256),
        )
        with pytest.raises(ValueError, match="Invalid argument"):
            await collect(synthesizer, job_of(params=replace(PARAMS, response_format="opus")))
        assert bench.engine.requests == []


@pytest.mark.anyio
class TestStreamIsTheFile:
    @pytest.mark.parametrize("speed", [0.25, 0.9, 1.0, 1.3, 4.0])
    async def test_pcm(self, bench: Bench, speed: float) -> None:
        lengths = [16, 5, 23, 9]
        name_lengths(bench, lengths)
        jobs = [job_of(params=replace(PARAMS, speed=speed)) for _ in range(2)]
        stats = SpeechStats(), SpeechStats()
        pieces = await pieces_of(build(bench), jobs[0], stats[0])
        file = await build(bench).collect(jobs[1], stats[1])
        assert b"".join(piece.data for piece in pieces) == file
        sound = await sound_of([short_script(num) for num in lengths])
        assert file == pcm_of(change_tempo(sound, speed=speed, sample_rate=RATE))
        assert stats[0] == stats[1]
        assert stats[0].num_samples == len(file) // 2 == round(sum(lengths) * FRAME / speed)

    async def test_wav_but_for_the_header(self, bench: Bench) -> None:
        streamed, file = [
            await answer(
                build(bench), job_of(params=replace(PARAMS, response_format="wav")), is_live=is_live
            )
            for is_live in (True, False)
        ]
        assert streamed[:44] == wav_header(RATE, num_data_bytes=None)
        assert file[:44] == wav_header(RATE, num_data_bytes=2 * 4 * 16 * FRAME)
        assert streamed[44:] == file[44:]
        assert len(file) == 44 + 2 * 4 * 16 * FRAME

    async def test_the_header_comes_with_the_first_sound(self, bench: Bench) -> None:
        gate = asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=1)
        job = job_of(1, params=replace(PARAMS, response_format="wav"))
        async with aclosing(build(bench).stream(job, SpeechStats())) as pieces:
            assert len((await anext(pieces)).data) == 44 + 2 * (FRAME - FADE)

    async def test_a_file_hears_no_attempt_that_failed(self, bench: Bench) -> None:
        """Nobody listens yet: what a stream could not take back, a file retries as a whole."""
        bench.scripts["r-0-1"] = loop_script(9)
        bench.scripts["r-0-2"] = short_script(14)
        stats = SpeechStats()
        file = await build(bench).collect(job_of(1), stats)
        assert file == pcm_of(await heard_of(short_script(14)))
        assert (stats.degraded_chunks, stats.num_attempts) == ([], 2)
        assert [kept_ids_of(request) for request in bench.engine.requests] == [(), ()]

    async def test_same_seed_same_requests_and_samples(self, bench: Bench) -> None:
        async def speak(seed: int | None) -> tuple[bytes, list[TokenRequest]]:
            bench.engine.requests.clear()
            data = await collect(build(bench), job_of(params=replace(PARAMS, seed=seed)))
            return data, sorted(bench.engine.requests, key=lambda each: each.request_id)

        first, first_requests = await speak(7)
        again, requests = await speak(7)
        assert (again, requests) == (first, first_requests)
        assert [each.seed for each in requests] == [derive_seed(7, index, 1) for index in range(4)]
        _, others = await speak(8)
        assert [each.seed for each in others] == [derive_seed(8, index, 1) for index in range(4)]
        assert [replace(each, seed=None) for each in others] == [
            replace(each, seed=None) for each in requests
        ]
        _, unseeded = await speak(None)
        assert {each.seed for each in unseeded} == {None}


@pytest.mark.anyio
class TestRollback:
    """A stream has begun when its generation fails, and nobody hears that it did."""

    # 1 s is 11.7 frames: the piece that begins before it is the twelfth.
    NUM_AHEAD = 12

    def looping(self, bench: Bench, gate: asyncio.Event) -> None:
        """20 frames, a loop, and its other 9 behind them when the gate opens."""
        bench.scripts["r-0-1"] = loop_script(20)
        bench.scripts["r-0-2"] = held_script(speech_from(20, 29), gate)

    async def test_a_loop_is_not_heard(self, bench: Bench) -> None:
        """It left as it was made: the stream ended in it, and the rest of the text was missing."""
        clock, gate, stats = VirtualClock(), asyncio.Event(), SpeechStats()
        self.looping(bench, gate)
        pieces: list[AudioPiece] = []
        task = asyncio.create_task(listen(build(bench, clock=clock), job_of(1), stats, pieces))
        await wait_for(lambda: len(bench.engine.requests) == 2)
        await bench.settle()
        # How many pieces that is depends on how quickly they are taken: some come as one.
        assert 0 < len(data_of(pieces)) <= 20 * bench.decoder.samples_per_frame * 2
        gate.set()
        await task
        assert data_of(pieces) == pcm_of(await heard_of(short_script(29)))
        assert kept_ids_of(bench.engine.requests[1]) == speech_ids(20)
        assert (stats.num_chunks, stats.num_attempts, stats.degraded_chunks) == (1, 2, [])
        assert stats.num_output_tokens == 31 * 7 + 9 * 7 + 1
        assert clock.num_waiting == 0

    async def test_what_is_held_goes_when_it_is_due(self, bench: Bench) -> None:
        clock, gate = VirtualClock(), asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(29), gate, num_free_frames=25)
        pieces: list[AudioPiece] = []
        task = asyncio.create_task(
            listen(build(bench, clock=clock), job_of(1), SpeechStats(), pieces)
        )
        for num_more in range(1, 10):
            await wait_for(lambda: clock.num_waiting == 1)
            await bench.settle()
            assert len(pieces) == self.NUM_AHEAD + num_more - 1
            clock.advance(FRAME / RATE)
            await bench.settle()
            assert len(pieces) == self.NUM_AHEAD + num_more
        # A download does not wait: the chunk has ended.
        gate.set()
        await task
        assert data_of(pieces) == pcm_of(await heard_of(short_script(29)))

    @pytest.mark.parametrize("speed", [0.5, 1.5])
    async def test_a_second_is_one_of_the_listener(self, bench: Bench, speed: float) -> None:
        clock, gate = VirtualClock(), asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(29), gate, num_free_frames=25)
        pieces: list[AudioPiece] = []
        job = job_of(1, params=replace(PARAMS, speed=speed))
        task = asyncio.create_task(listen(build(bench, clock=clock), job, SpeechStats(), pieces))
        await wait_for(lambda: clock.num_waiting == 1)
        await bench.settle()
        assert len(pieces) == math.ceil((speed * RATE + FADE) / FRAME)
        gate.set()
        await task

    async def test_speech_that_is_made_just_in_time_is_not_held(self, bench: Bench) -> None:
        clock, gate, pieces = VirtualClock(), asyncio.Event(), list[AudioPiece]()
        bench.scripts["r-0-1"] = StepScript(short_script(29).token_ids, gate=gate)
        task = asyncio.create_task(
            listen(build(bench, clock=clock), job_of(1), SpeechStats(), pieces)
        )
        for num_heard in range(1, 30):
            gate.set()
            await wait_for(partial(has_size, pieces, num_heard))
            clock.advance(FRAME / RATE)
        # The stop, and the end of the script.
        for _ in range(2):
            gate.set()
            await bench.settle()
        await task
        assert clock.timers == []

    async def test_a_chunk_after_late_text_is_held_too(self, bench: Bench) -> None:
        """The player had run dry long before, and all that followed counted as overdue."""
        clock, gate, more = VirtualClock(), asyncio.Event(), asyncio.Event()
        bench.scripts["r-1-1"] = held_script(short_script(29), gate, num_free_frames=25)

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            yield PREPARED_CHUNK
            await more.wait()
            yield PREPARED_CHUNK

        pieces: list[AudioPiece] = []
        task = asyncio.create_task(
            listen(build(bench, clock=clock), job_of(chunks()), SpeechStats(), pieces)
        )
        await wait_for(lambda: len(pieces) == 17)
        clock.advance(60.0)
        more.set()
        await wait_for(lambda: clock.num_waiting == 1)
        await bench.settle()
        assert len(pieces) == 17 + self.NUM_AHEAD
        gate.set()
        await task

    async def test_a_file_is_not_held(self, bench: Bench) -> None:
        clock = VirtualClock()
        await collect(build(bench, clock=clock), job_of(3))
        assert clock.timers == []


@pytest.mark.anyio
class TestPieces:
    @pytest.mark.parametrize("speed", [1.0, 1.5])
    async def test_each_tells_where_it_belongs(self, bench: Bench, speed: float) -> None:
        texts = ["Abcdefg hijklmno.", "Bcdefghi jklmnop."]
        job = job_of(chunks_of(*texts), params=replace(PARAMS, speed=speed))
        pieces = await pieces_of(build(bench), job)
        assert [(piece.chunk, piece.text) for piece in pieces] == [
            *[(0, texts[0])] * 17,
            *[(1, texts[1])] * 17,
            (None, None),
        ]
        start = 0
        for piece in pieces:
            assert piece.start_sample == start
            start += len(piece.data) // 2
        assert start == round(2 * 16 * FRAME / speed)


@pytest.mark.anyio
class TestStats:
    async def test_of_a_file(self, bench: Bench) -> None:
        name_lengths(bench, [15, 16, 17])
        bench.scripts["r-1-1"] = short_script(0)
        bench.scripts.update({f"r-2-{number}": endless_script(20) for number in (1, 2)})
        stats = SpeechStats()
        data = await build(bench).collect(job_of(3), stats)
        num_frames = 15 + 16 + 20
        assert len(data) == 2 * FRAME * num_frames
        assert stats == SpeechStats(
            num_chunks=3,
            degraded_chunks=[2],
            num_attempts=5,
            num_prompt_tokens=3 * 17,
            # Of every attempt: one stop alone, and both that ran to the limit.
            num_output_tokens=15 * 7 + 1 + 1 + 16 * 7 + 1 + 2 * 20 * 7,
            num_dropped_symbols=0,
            num_samples=FRAME * num_frames,
        )

    async def test_of_a_stream_so_far(self, bench: Bench) -> None:
        """A caller who leaves is billed what was made for him, and the log tells the truth."""
        name_lengths(bench, [15, 16])
        hang_from(bench, 2, 2)
        stats = SpeechStats()
        async with aclosing(build(bench).stream(job_of(3), stats)) as pieces:
            await take_chunk(pieces, 15)
            assert (stats.num_chunks, stats.num_samples) == (0, 15 * FRAME)
            await anext(pieces)
            assert (stats.num_chunks, stats.num_samples) == (1, 16 * FRAME - FADE)
            assert stats.num_output_tokens == 15 * 7 + 1

    async def test_degraded_chunks_are_counted_by_their_index(self, bench: Bench) -> None:
        for index in (0, 2):
            bench.scripts.update({f"r-{index}-{number}": endless_script(20) for number in (1, 2)})
        stats = SpeechStats()
        pieces = await pieces_of(build(bench), job_of(), stats)
        assert stats.degraded_chunks == [0, 2]
        assert frames_by_chunk(pieces) == [20, 16, 20, 16]


class StepScript(Script):
    """Waits at each frame for the gate, which closes behind it."""

    async def pass_gate(self) -> None:
        assert self.gate is not None
        await self.gate.wait()
        self.gate.clear()


class DeadlineDecoder(ToneDecoder):
    """Keeps the deadline of each utterance by its seed."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: dict[int, Deadline] = {}

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> ToneUtterance:
        self.deadlines[noise_seed] = deadline
        return super().open_utterance(noise_seed=noise_seed, deadline=deadline)


@pytest.mark.anyio
class TestDeadlines:
    """The codec serves first what a player waits for."""

    @pytest.mark.parametrize("speed", [1.0, 1.5])
    async def test_of_a_stream(self, speed: float) -> None:
        decoder = DeadlineDecoder()
        gate = asyncio.Event()
        async with open_bench(decoder=decoder) as bench:
            name_lengths(bench, [16, 16])
            bench.scripts["r-0-1"] = held_script(short_script(16), gate)
            job = job_of(2, params=replace(PARAMS, speed=speed))
            async with aclosing(build(bench).stream(job, SpeechStats())) as pieces:
                first_piece = asyncio.create_task(anext(pieces))
                await wait_for(lambda: len(decoder.deadlines) == 2)
                first, second = (decoder.deadlines[derive_seed(7, index)] for index in (0, 1))
                assert (first(0), first(9999)) == (-math.inf, -math.inf)
                assert second(0) == math.inf
                gate.set()
                await first_piece
                assert second(0) == math.inf
                assert first(RATE) - first(0) == pytest.approx(1 / speed)
                end = first(16 * FRAME)
                while (await anext(pieces)).chunk == 0:
                    pass
                assert first(0) == math.inf
                assert second(0) == pytest.approx(end)
                assert second(RATE) - second(0) == pytest.approx(1 / speed)

    async def test_of_a_file(self) -> None:
        """Nobody plays it before it is whole."""
        decoder = DeadlineDecoder()
        async with open_bench(decoder=decoder) as bench:
            await collect(build(bench), job_of(2))
            assert [deadline(0) for deadline in decoder.deadlines.values()] == [math.inf] * 2


@pytest.mark.anyio
class TestText:
    """Text is cleaned and measured by the pool, which is all that the routes see of it."""

    SENTENCE = "It was a bright cold day in April, and all the clocks were striking thirteen."
    TEXT = f"{SENTENCE} <laugh> {SENTENCE}"

    async def test_a_plan_becomes_texts(self, bench: Bench) -> None:
        synthesizer = build(bench)
        plan = await synthesizer.plan(self.TEXT, tags=frozenset())
        assert plan.num_dropped_tags == 1
        assert [chunk.text async for chunk in synthesizer.chunks_of(plan)] == [
            self.SENTENCE,
            self.SENTENCE,
        ]
        assert [chunk.text async for chunk in synthesizer.chunks_of(plan)] == []

    async def test_nothing_to_speak(self, bench: Bench) -> None:
        with pytest.raises(RequestError, match="nothing to speak"):
            await build(bench).plan("!!!", tags=frozenset())

    async def test_text_in_pieces(self, bench: Bench) -> None:
        synthesizer = build(bench)
        stream = synthesizer.open_chunk_stream(tags=frozenset())
        chunks = [
            *await synthesizer.run_text(partial(stream.feed, self.TEXT)),
            *await synthesizer.run_text(stream.flush),
        ]
        assert [chunk.text for chunk in chunks] == [self.SENTENCE] * 2
        assert stream.num_dropped_tags == 1


@pytest.mark.anyio
class TestTextIsPhonemizedOnce:
    """Planning and each attempt phonemized the same text again: twice for every chunk, or more."""

    TEXT = "Abcdefg hijklmno. Pqrstuv wxyzabcd"

    async def phonemized(
        self,
        bench: Bench,
        *,
        limits: ChunkLimits = LIMITS,
        num_failures: int = 0,
        num_attempts: int = 1,
    ) -> list[str]:
        """The texts of the phonemizer's calls for a request whose first attempts fail."""
        bench.scripts.update({f"r-0-{n}": short_script(0) for n in range(1, num_failures + 1)})
        phonemizer, stats = CountingPhonemizer(), SpeechStats()
        synthesizer = build(
            bench, front_end=PhonemeFrontEnd(phonemizer), limits=limits, max_attempts=5
        )
        plan = await synthesizer.plan(self.TEXT, tags=frozenset())
        await synthesizer.collect(SpeechJob("r", synthesizer.chunks_of(plan), PARAMS), stats)
        assert stats.num_attempts == num_attempts
        assert threading.get_ident() not in phonemizer.threads
        return phonemizer.texts

    async def test_a_text_that_fits(self, bench: Bench) -> None:
        assert await self.phonemized(bench) == [f"{self.TEXT}."]

    async def test_retries_of_the_whole_text(self, bench: Bench) -> None:
        texts = await self.phonemized(bench, num_failures=2, num_attempts=3)
        assert texts == [f"{self.TEXT}."]

    async def test_each_half_of_a_split_attempt(self, bench: Bench) -> None:
        texts = await self.phonemized(bench, num_failures=3, num_attempts=4)
        assert texts == [f"{self.TEXT}.", "Abcdefg hijklmno.", "Pqrstuv wxyzabcd."]

    async def test_a_piece_that_is_too_long_and_each_of_its_parts(self, bench: Bench) -> None:
        limits = replace(LIMITS, chunk_max_sec=1.5)  # 31 phonemes last 2.48 s, 17 last 1.36 s
        texts = await self.phonemized(bench, limits=limits, num_attempts=2)
        assert texts == [f"{self.TEXT}.", "Abcdefg hijklmno.", "Pqrstuv wxyzabcd."]

    async def test_text_in_pieces(self, bench: Bench) -> None:
        phonemizer, stats = CountingPhonemizer(), SpeechStats()
        bench.scripts["r-1-1"] = short_script(0)
        synthesizer = build(bench, front_end=PhonemeFrontEnd(phonemizer))
        stream = synthesizer.open_chunk_stream(tags=frozenset())

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            for word in f"{self.TEXT} efgh. Ijklmn opq, rst uvw".split(" "):
                for chunk in await synthesizer.run_text(partial(stream.feed, f"{word} ")):
                    yield chunk
            for chunk in await synthesizer.run_text(stream.flush):
                yield chunk

        pieces = await pieces_of(synthesizer, SpeechJob("r", chunks(), PARAMS), stats)
        assert phonemizer.texts == [f"{self.TEXT} efgh.", "Ijklmn opq, rst uvw."]
        assert {piece.text for piece in pieces} == {*phonemizer.texts, None}
        assert stats.num_attempts == 3
        assert threading.get_ident() not in phonemizer.threads

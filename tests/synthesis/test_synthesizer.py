"""Streams and files of several chunks: endings, equality, positions, statistics and deadlines."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import numpy as np
import pytest

from orpheus_server.audio.encoders import wav_header
from orpheus_server.errors import ChunkFailed, EngineDead
from orpheus_server.fakes import Script, ToneDecoder, ToneUtterance
from orpheus_server.interfaces import Deadline, TokenRequest
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import ChunkSynthesizer
from orpheus_server.synthesis.job import AudioPiece, SpeechJob, SpeechStats
from orpheus_server.synthesis.retry import RetryPolicy, derive_seed
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.front_end import PreparedText
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    change_tempo,
    chunks_of,
    endless_script,
    heard_of,
    held_script,
    kept_ids_of,
    loop_script,
    open_bench,
    other_tasks,
    short_script,
    wait_for,
)
from tests.support.synthesis import (
    FADE,
    FRAME,
    LIMITS,
    PREPARED_CHUNK,
    RATE,
    answer,
    audio_of,
    build,
    collect,
    frames_by_chunk,
    hang_chunks,
    job_of,
    pcm_of,
    pieces_of,
    set_lengths,
    take_chunk,
)


@pytest.mark.anyio
class TestEnding:
    async def test_closing_midway_stops_all_generations(self, bench: Bench) -> None:
        hang_chunks(bench, 0, 3)
        before = other_tasks()
        pieces = build(bench).stream(job_of(), SpeechStats())
        await anext(pieces)
        await wait_for(lambda: bench.engine.num_active == 3)
        await pieces.aclose()
        assert (bench.engine.num_active, bench.engine.num_aborted) == (0, 3)
        assert other_tasks() == before
        assert len(bench.engine.requests) == 3

    @pytest.mark.parametrize(("is_live", "num_active"), [(True, 3), (False, 4)])
    async def test_cancelling_stops_all_generations(
        self, bench: Bench, is_live: bool, num_active: int
    ) -> None:
        """In another server, the generations of a cancelled request ran on to the token limit."""
        hang_chunks(bench, 0, 3)
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
            (Script((), error=ValueError("our bug")), ValueError),
        ],
    )
    async def test_a_failure_cancels_the_other_chunks(
        self, bench: Bench, script: Script, error: type[Exception], is_live: bool
    ) -> None:
        gate = asyncio.Event()
        hang_chunks(bench, 1, 2)
        bench.scripts["r-0-1"] = replace(script, gate=gate)
        before = other_tasks()
        task = asyncio.create_task(answer(build(bench), job_of(3), is_live=is_live))
        await wait_for(lambda: bench.engine.num_active == 3)
        gate.set()
        with pytest.raises(error):
            await task
        assert (bench.engine.num_active, len(bench.engine.requests)) == (0, 3)
        assert other_tasks() == before

    async def test_a_failure_of_a_later_chunk_is_raised_after_the_audio_before_it(
        self, bench: Bench
    ) -> None:
        """The chunk that is being played is good, and the response has already started."""
        gate = asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=1)
        bench.scripts["r-1-1"] = Script((), error=ValueError("our bug"))
        hang_chunks(bench, 2, 2)
        before = other_tasks()
        stats = SpeechStats()
        pieces = build(bench).stream(job_of(), stats)
        await anext(pieces)
        await wait_for(lambda: len(bench.engine.requests) == 3 and bench.engine.num_active == 2)
        gate.set()
        for _ in range(16):
            assert (await anext(pieces)).chunk == 0
        with pytest.raises(ValueError, match="our bug"):
            await anext(pieces)
        assert bench.engine.num_active == 0
        assert other_tasks() == before
        assert stats.num_chunks == 1

    @pytest.mark.parametrize("is_live", [True, False])
    async def test_a_failed_chunk_fails_the_request(self, bench: Bench, is_live: bool) -> None:
        bench.scripts.update({f"r-2-{number}": endless_script(15) for number in (1, 2)})
        with pytest.raises(ChunkFailed, match="part 3 of the text"):
            await answer(build(bench, may_be_degraded=False), job_of(), is_live=is_live)

    async def test_a_sample_rate_that_the_format_does_not_support(self, bench: Bench) -> None:
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
class TestStreamEqualsFile:
    @pytest.mark.parametrize("speed", [0.25, 0.9, 1.0, 1.3, 4.0])
    async def test_pcm(self, bench: Bench, speed: float) -> None:
        lengths = [16, 5, 23, 9]
        set_lengths(bench, lengths)
        jobs = [job_of(params=replace(PARAMS, speed=speed)) for _ in range(2)]
        stats = SpeechStats(), SpeechStats()
        pieces = await pieces_of(build(bench), jobs[0], stats[0])
        file = await build(bench).collect(jobs[1], stats[1])
        assert b"".join(piece.data for piece in pieces) == file
        audio = await audio_of([short_script(num) for num in lengths])
        assert file == pcm_of(change_tempo(audio, speed=speed, sample_rate=RATE))
        assert stats[0] == stats[1]
        assert stats[0].num_samples == len(file) // 2 == round(sum(lengths) * FRAME / speed)

    async def test_wav_except_for_the_header(self, bench: Bench) -> None:
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

    async def test_the_header_is_sent_with_the_first_samples(self, bench: Bench) -> None:
        gate = asyncio.Event()
        bench.scripts["r-0-1"] = held_script(short_script(16), gate, num_free_frames=1)
        job = job_of(1, params=replace(PARAMS, response_format="wav"))
        async with aclosing(build(bench).stream(job, SpeechStats())) as pieces:
            assert len((await anext(pieces)).data) == 44 + 2 * (FRAME - FADE)

    async def test_a_file_contains_no_failed_attempt(self, bench: Bench) -> None:
        """No sample of a file has been heard, so its chunk is retried from the start."""
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


def fail_unheard(bench: Bench, *chunks: int) -> None:
    """Both attempts at these chunks fail before they are decoded; the first is then used whole."""
    for index in chunks:
        bench.scripts.update({f"r-{index}-{number}": endless_script(20) for number in (1, 2)})
        bench.decoder.results += [np.zeros(9, np.float32)] * 2


async def pieces_or_file(
    bench: Bench, job: SpeechJob, stats: SpeechStats | None = None
) -> list[AudioPiece]:
    made = build(bench).stream(job, stats or SpeechStats(), may_be_file=True)
    async with aclosing(made) as pieces:
        return [piece async for piece in pieces]


@pytest.mark.anyio
class TestStreamThatIsCompleteAtOnce:
    """Generated completely before its first samples are encoded: the stream is the file."""

    @pytest.mark.parametrize("name", ["wav", "pcm", "mp3", "flac"])
    async def test_it_is_the_file(self, bench: Bench, name: str) -> None:
        params = replace(PARAMS, response_format=name)
        stats = SpeechStats(), SpeechStats()
        fail_unheard(bench, 0)
        pieces = await pieces_or_file(bench, job_of(1, params=params), stats[0])
        fail_unheard(bench, 0)
        file = await build(bench).collect(job_of(1, params=params), stats[1])
        assert pieces == [AudioPiece(file, 0, None, None)]
        assert stats[0] == stats[1]
        assert (stats[0].num_samples, stats[0].degraded_chunks) == (20 * FRAME, [0])

    async def test_it_stays_a_stream_unless_allowed(self, bench: Bench) -> None:
        """The positions of the pieces time the audio of a WebSocket."""
        fail_unheard(bench, 0)
        job = job_of(1, params=replace(PARAMS, response_format="wav"))
        pieces = await pieces_of(build(bench), job)
        assert pieces[0].data[:44] == wav_header(RATE, num_data_bytes=None)
        assert {piece.chunk for piece in pieces[:-1]} == {0}

    async def test_no_samples_at_all(self, bench: Bench) -> None:
        params = replace(PARAMS, response_format="wav")
        file = wav_header(RATE, num_data_bytes=0)
        pieces = await pieces_or_file(bench, job_of(chunks_of(), params=params))
        assert pieces == [AudioPiece(file, 0, None, None)]

    async def test_silence(self, bench: Bench) -> None:
        params = replace(PARAMS, response_format="wav")
        job = replace(job_of(chunks_of(), params=params), silence_sec=0.25)
        file = wav_header(RATE, num_data_bytes=RATE // 2) + bytes(RATE // 2)
        assert await pieces_or_file(bench, job) == [AudioPiece(file, 0, None, None)]

    async def test_a_chunk_that_is_still_generated(self, bench: Bench) -> None:
        gate = asyncio.Event()
        fail_unheard(bench, 0)
        bench.scripts["r-1-1"] = held_script(short_script(16), gate)
        await self.check_stream(bench, job_of(2), gate)

    async def test_a_text_that_has_not_ended(self, bench: Bench) -> None:
        gate = asyncio.Event()
        fail_unheard(bench, 0)

        async def chunks() -> AsyncGenerator[PreparedText, None]:
            yield PREPARED_CHUNK
            await gate.wait()

        await self.check_stream(bench, job_of(chunks()), gate)

    async def check_stream(self, bench: Bench, job: SpeechJob, gate: asyncio.Event) -> None:
        job = replace(job, params=replace(PARAMS, response_format="wav"))
        made = build(bench).stream(job, SpeechStats(), may_be_file=True)
        async with aclosing(made) as pieces:
            first = await anext(pieces)
            gate.set()
            assert [piece.chunk async for piece in pieces][-1] is None
        assert first.chunk == 0
        assert first.data[:44] == wav_header(RATE, num_data_bytes=None)


@pytest.mark.anyio
class TestPieces:
    @pytest.mark.parametrize("speed", [1.0, 1.5])
    async def test_each_has_its_chunk_text_and_position(self, bench: Bench, speed: float) -> None:
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
    async def test_a_file(self, bench: Bench) -> None:
        set_lengths(bench, [15, 16, 17])
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
            # All attempts count: the one with only a stop, and both that ran to the limit.
            num_output_tokens=15 * 7 + 1 + 1 + 16 * 7 + 1 + 2 * 20 * 7,
            num_dropped_symbols=0,
            num_samples=FRAME * num_frames,
        )

    async def test_an_unfinished_stream(self, bench: Bench) -> None:
        """A client that disconnects is billed for what was generated, and the log shows it."""
        set_lengths(bench, [15, 16])
        hang_chunks(bench, 2, 2)
        stats = SpeechStats()
        async with aclosing(build(bench).stream(job_of(3), stats)) as pieces:
            await take_chunk(pieces, 15)
            assert (stats.num_chunks, stats.num_samples) == (0, 15 * FRAME)
            await anext(pieces)
            assert (stats.num_chunks, stats.num_samples) == (1, 16 * FRAME - FADE)
            assert stats.num_output_tokens == 15 * 7 + 1

    async def test_degraded_chunks_are_listed_by_their_index(self, bench: Bench) -> None:
        for index in (0, 2):
            bench.scripts.update({f"r-{index}-{number}": endless_script(20) for number in (1, 2)})
        stats = SpeechStats()
        pieces = await pieces_of(build(bench), job_of(), stats)
        assert stats.degraded_chunks == [0, 2]
        assert frames_by_chunk(pieces) == [20, 16, 20, 16]


class DeadlineDecoder(ToneDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.deadlines: dict[int, Deadline] = {}

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> ToneUtterance:
        self.deadlines[noise_seed] = deadline
        return super().open_utterance(noise_seed=noise_seed, deadline=deadline)


@pytest.mark.anyio
class TestDeadlines:
    """The codec first decodes the audio that a player needs next."""

    @pytest.mark.parametrize("speed", [1.0, 1.5])
    async def test_a_stream(self, speed: float) -> None:
        decoder = DeadlineDecoder()
        gate = asyncio.Event()
        async with open_bench(decoder=decoder) as bench:
            set_lengths(bench, [16, 16])
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

    async def test_a_file(self) -> None:
        """A file is not played before it is complete."""
        decoder = DeadlineDecoder()
        async with open_bench(decoder=decoder) as bench:
            await collect(build(bench), job_of(2))
            assert [deadline(0) for deadline in decoder.deadlines.values()] == [math.inf] * 2

"""Synthesises jobs: cuts text into chunks, generates chunks ahead, returns audio in order."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from orpheus_server.audio.rendering import Renderer
from orpheus_server.concurrency import WorkerPool
from orpheus_server.synthesis.capacity import Capacity, LoadMeter
from orpheus_server.synthesis.chunk_buffer import CallLater, ChunkBuffer
from orpheus_server.synthesis.chunk_scheduler import ChunkScheduler, ChunkTurn
from orpheus_server.synthesis.chunk_synthesizer import ChunkJob, ChunkSynthesizer
from orpheus_server.synthesis.engine_slot import EngineSlot
from orpheus_server.synthesis.job import (
    AudioPiece,
    ChunkReport,
    SpeechJob,
    SpeechStats,
    SpokenPiece,
)
from orpheus_server.synthesis.look_ahead import run_ahead
from orpheus_server.synthesis.playback_clock import PlaybackClock
from orpheus_server.text.chunking import ChunkLimits, ChunkPlan
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.front_end import FrontEnd, PreparedText, front_end_for
from orpheus_server.text.markdown.spoken_text import Markup, SpokenTextStream, plan_spoken_text

LOOK_AHEAD = 32
"""Chunks of a file that are generated or held at the same time, of which `ChunkScheduler` lets some
run: more than that, because those behind a chunk with many attempts have to be held. Each needs 5
MB at most, and 0.5 MB with sentences of ordinary length."""

LIVE_LOOK_AHEAD = 3
"""The same for a stream: enough for retries to end before their chunk is due. Not more, because
chunks that a slow client does not read stay in memory (at most 5 MB each)."""

LEAD_SEC = 1.0
"""The next chunk is due when this much audio of the current one is missing. If it is less, the
player runs dry between chunks; if more, there are more generations than streams."""


class Synthesizer:
    """Synthesises jobs; one instance for all requests of the process."""

    def __init__(
        self,
        chunk_synthesizer: ChunkSynthesizer,
        pool: WorkerPool,
        *,
        sample_rate: int,
        limits: ChunkLimits,
        front_end: FrontEnd,
        capacity: Capacity,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
        may_pause: bool = True,
    ) -> None:
        """`capacity` limits the load, and receives how quickly chunks were generated. With
        `may_pause` chunks of files pause for streams, which changes their tokens.
        """
        self._chunk_synthesizer = chunk_synthesizer
        self._capacity = capacity
        self._load = LoadMeter(clock)
        self._scheduler = ChunkScheduler(capacity, may_pause=may_pause)
        self._clock = clock
        self._call_later = call_later
        self._pool = pool
        self._sample_rate = sample_rate
        self._limits = limits
        self._front_end = front_end

    @property
    def sample_rate(self) -> int:
        """Samples per second of every response."""
        return self._sample_rate

    async def plan(
        self,
        text: str,
        *,
        tags: frozenset[str],
        markup: Markup = Markup.AUTO,
        is_spelled_out: bool = False,
    ) -> ChunkPlan:
        """Runs `plan_spoken_text` off the event loop. `is_spelled_out` as in `SpeechParams`."""
        return await self._pool.run(
            plan_spoken_text,
            text,
            tags=tags,
            limits=self._limits,
            front_end=front_end_for(self._front_end, is_spelled_out=is_spelled_out),
            markup=markup,
        )

    async def chunks_of(self, plan: ChunkPlan) -> AsyncGenerator[PreparedText, None]:
        """Yields the chunks of a plan, each prepared off the event loop when it is requested."""
        while (chunk := await self._pool.run(plan.next_chunk)) is not None:
            yield chunk

    def open_chunk_stream(
        self,
        *,
        tags: frozenset[str],
        markup: Markup = Markup.AUTO,
        is_spelled_out: bool = False,
    ) -> SpokenTextStream:
        """For text that arrives in pieces. Call its methods through `run_text`."""
        front_end = front_end_for(self._front_end, is_spelled_out=is_spelled_out)
        return SpokenTextStream(tags=tags, limits=self._limits, front_end=front_end, markup=markup)

    async def run_text(self, function: Callable[[], list[PreparedText]]) -> list[PreparedText]:
        """Runs a method of a `SpokenTextStream` off the event loop."""
        return await self._pool.run(function)

    async def stream(
        self,
        job: SpeechJob,
        stats: SpeechStats,
        slot: EngineSlot | None = None,
        *,
        may_be_file: bool = False,
    ) -> AsyncGenerator[AudioPiece, None]:
        """Yields the response while it is generated. Close the generator to stop all its work.

        Updates `stats`. With a `slot`, generation starts once the slot is held. With `may_be_file`
        a response whose generation has ended before its first samples are encoded is one piece,
        the file that `collect` returns.
        """
        renderer = await self._open_renderer(job, is_streamed=True)
        async with aclosing(self._speak(job, stats, slot, is_live=True)) as pieces:
            piece = await anext(pieces, None)
            if may_be_file and (piece is None or piece.is_all_generated):
                data = await self._render_file(job, stats, piece, pieces)
                yield AudioPiece(data, 0, None, None)
                return
            while piece is not None:
                start = renderer.num_samples
                data = await self._pool.run(renderer.feed, piece.samples)
                stats.num_samples = renderer.num_samples
                yield AudioPiece(data, start, piece.chunk, piece.text)
                piece = await anext(pieces, None)
        start = renderer.num_samples
        data = await self._pool.run(renderer.flush, silence_sec=job.silence_sec)
        stats.num_samples = renderer.num_samples
        yield AudioPiece(data, start, None, None)

    async def collect(
        self, job: SpeechJob, stats: SpeechStats, slot: EngineSlot | None = None
    ) -> bytes:
        """Returns the whole response as one file; `slot` as in `stream`."""
        async with aclosing(self._speak(job, stats, slot, is_live=False)) as pieces:
            return await self._render_file(job, stats, None, pieces)

    async def _render_file(
        self,
        job: SpeechJob,
        stats: SpeechStats,
        first: SpokenPiece | None,
        rest: AsyncGenerator[SpokenPiece, None],
    ) -> bytes:
        """Returns the file of a piece that was taken from `rest`, if any, and of all others."""
        renderer = await self._open_renderer(job, is_streamed=False)
        parts = []
        piece = first or await anext(rest, None)
        while piece is not None:
            parts.append(await self._pool.run(renderer.feed, piece.samples))
            piece = await anext(rest, None)
        parts.append(await self._pool.run(renderer.flush, silence_sec=job.silence_sec))
        stats.num_samples = renderer.num_samples
        return b"".join(parts)

    async def _open_renderer(self, job: SpeechJob, *, is_streamed: bool) -> Renderer:
        return await self._pool.run(
            Renderer,
            job.params.response_format,
            speed=job.params.speed,
            sample_rate=self._sample_rate,
            is_streamed=is_streamed,
        )

    async def _speak(
        self, job: SpeechJob, stats: SpeechStats, slot: EngineSlot | None, *, is_live: bool
    ) -> AsyncGenerator[SpokenPiece, None]:
        """Yields samples in order, while the next chunks are generated."""
        playback = PlaybackClock(
            sample_rate=self._sample_rate,
            speed=job.params.speed,
            is_live=is_live,
            clock=self._clock,
        )
        turns = self._scheduler.open(needs_audio=(lambda: playback.is_urgent) if is_live else None)
        num_unfinished, has_all_chunks = 0, False

        async def counted_chunks() -> AsyncGenerator[PreparedText, None]:
            nonlocal num_unfinished, has_all_chunks
            async with aclosing(job.chunks) as chunks:
                async for chunk in chunks:
                    num_unfinished += 1
                    if slot is not None:
                        slot.add_chunk()
                    yield chunk
            has_all_chunks = True

        def open_buffer() -> _Chunk:
            turn = turns.add()
            buffer = ChunkBuffer(
                on_nearly_made=turn.note_nearly_made,
                hold_sec=playback.hold_sec,
                call_later=self._call_later,
            )
            return _Chunk(turn, buffer)

        async def speak(index: int, text: PreparedText, chunk: _Chunk) -> None:
            nonlocal num_unfinished
            turn, buffer = chunk.turn, chunk.buffer
            try:
                if slot is not None:
                    await slot.wait()
                deadline = partial(playback.deadline, index)
                chunk_job = ChunkJob(job.request_id, index, text, job.params, deadline, turn)
                buffer.close(await self._measured(chunk_job, chunk))
            except Exception as error:  # a task's edge: the reader of the buffer raises it
                buffer.fail(error)
            finally:
                turn.close()
                num_unfinished -= 1
                if slot is not None:
                    slot.end_chunk()

        look_ahead = LIVE_LOOK_AHEAD if is_live else LOOK_AHEAD
        ahead = run_ahead(counted_chunks(), speak, open_buffer, look_ahead=look_ahead)
        try:
            async with aclosing(ahead) as begun:
                async for index, text, chunk in begun:
                    playback.begin_chunk(index)
                    async with aclosing(chunk.buffer.take(whole=not is_live)) as pieces:
                        async for samples in pieces:
                            was_urgent = playback.is_urgent
                            playback.add(samples.size)
                            if was_urgent:
                                self._scheduler.update()
                            is_all_generated = has_all_chunks and num_unfinished == 0
                            yield SpokenPiece(index, text.text, samples, is_all_generated)
                    stats.add(chunk.buffer.report, chunk.buffer.elapsed_sec)
        finally:
            turns.close()

    async def _measured(self, job: ChunkJob, chunk: "_Chunk") -> ChunkReport:
        """Synthesises a chunk, and reports to the capacity how quickly it was."""
        buffer = chunk.buffer
        early_sec = estimate_duration_sec(job.chunk.text) - LEAD_SEC
        if early_sec > 0.0:
            buffer.num_expected = early_sec * self._sample_rate
        else:
            # A sentence of two words: the next chunk is due before this one is finished.
            chunk.turn.note_nearly_made()
        begun: tuple[float, float] | None = None
        was_paused = False

        def begin() -> None:
            nonlocal begun
            begun = self._load.begin()

        def pause() -> None:
            nonlocal begun, was_paused
            if begun is not None:
                buffer.elapsed_sec += self._load.end(begun)[0]
            begun, was_paused = None, True

        chunk.turn.on_start, chunk.turn.on_pause = begin, pause
        observe = None
        try:
            report = await self._chunk_synthesizer.speak(job, buffer)
            if report.num_attempts == 1:
                # Failed attempts take time but add no samples.
                observe = self._capacity.observe_finished
            return report
        except asyncio.CancelledError:
            observe = self._capacity.observe_unfinished
            raise
        finally:
            if begun is not None:
                elapsed_sec, num_at_once = self._load.end(begun)
                buffer.elapsed_sec += elapsed_sec
                if observe is not None and not was_paused:
                    observe(elapsed_sec, buffer.num_samples / self._sample_rate, num_at_once)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk in progress."""

    turn: ChunkTurn
    buffer: ChunkBuffer

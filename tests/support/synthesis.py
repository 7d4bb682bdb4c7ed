"""A synthesizer over a `Bench`, requests for it, and readers of its audio."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from orpheus_server.audio.encoders import PcmEncoder
from orpheus_server.fakes import Script
from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import ChunkSynthesizer
from orpheus_server.synthesis.job import AudioPiece, SpeechJob, SpeechParams, SpeechStats
from orpheus_server.synthesis.retry import RetryPolicy
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.front_end import FrontEnd, PreparedText
from tests.support.app import (
    PARAMS,
    POCKET,
    POCKET_FRONT_END,
    Bench,
    VirtualClock,
    chunks_of,
    heard_of,
    join_pieces,
    short_script,
    speech_ids,
    wait_for,
)

RATE, FRAME, FADE = 24_000, 2048, 120
LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)
CHUNK = "Abcdefg hijklmno."  # 16 frames unless a test sets the number
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
    """A request for that many chunks, or for the given ones."""
    if isinstance(chunks, int):
        chunks = chunks_of(*[CHUNK] * chunks)
    return SpeechJob(request_id, chunks, params)


def set_lengths(bench: Bench, num_frames: list[int], gate: asyncio.Event | None = None) -> None:
    """Sets the number of frames of each chunk, which can identify the chunk."""
    for index, num in enumerate(num_frames):
        bench.scripts[f"r-{index}-1"] = replace(short_script(num), gate=gate)


def hang_chunks(bench: Bench, first: int, last: int) -> None:
    for index in range(first, last + 1):
        bench.scripts[f"r-{index}-1"] = Script(speech_ids(9), hangs_at_end=True)


async def pieces_of(
    synthesizer: Synthesizer, job: SpeechJob, stats: SpeechStats | None = None
) -> list[AudioPiece]:
    async with aclosing(synthesizer.stream(job, stats or SpeechStats())) as pieces:
        return [piece async for piece in pieces]


async def listen(
    synthesizer: Synthesizer, job: SpeechJob, stats: SpeechStats, heard: list[AudioPiece]
) -> None:
    """Appends the pieces of a stream to `heard` as they arrive, except the end of its format."""
    async with aclosing(synthesizer.stream(job, stats)) as pieces:
        async for piece in pieces:
            if piece.chunk is not None:
                heard.append(piece)


def has_size(pieces: list[AudioPiece], num_pieces: int) -> bool:
    return len(pieces) == num_pieces


def data_of(pieces: list[AudioPiece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


async def take_chunk(pieces: AsyncGenerator[AudioPiece, None], num_frames: int) -> None:
    """Takes a whole chunk: a piece for each frame, and the faded end."""
    sizes = [len((await anext(pieces)).data) // 2 for _ in range(num_frames + 1)]
    assert sizes == [FRAME - FADE, *[FRAME] * (num_frames - 1), FADE]


def frames_by_chunk(pieces: list[AudioPiece]) -> list[int]:
    assert [piece.chunk for piece in pieces[:-1]] == sorted(
        piece.chunk for piece in pieces[:-1] if piece.chunk is not None
    )
    num_bytes: dict[int | None, int] = {}
    for piece in pieces[:-1]:
        num_bytes[piece.chunk] = num_bytes.get(piece.chunk, 0) + len(piece.data)
    return [num // (2 * FRAME) for num in num_bytes.values()]


async def check_num_started(bench: Bench, num_requests: int) -> None:
    await wait_for(lambda: len(bench.engine.requests) >= num_requests)
    await bench.settle()
    assert len(bench.engine.requests) == num_requests


async def collect(synthesizer: Synthesizer, job: SpeechJob) -> bytes:
    return await synthesizer.collect(job, SpeechStats())


async def answer(synthesizer: Synthesizer, job: SpeechJob, *, is_live: bool) -> bytes:
    if is_live:
        return b"".join(piece.data for piece in await pieces_of(synthesizer, job))
    return await collect(synthesizer, job)


async def audio_of(scripts: list[Script]) -> Samples:
    """The audio of chunks that are generated by these scripts, joined."""
    return join_pieces([await heard_of(script) for script in scripts])


def pcm_of(samples: Samples) -> bytes:
    return PcmEncoder().feed(samples)

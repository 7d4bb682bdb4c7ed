"""The conductor: text to chunks, chunks ahead of each other, audio in order."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from orpheus_server.audio import empty
from orpheus_server.checkpoint import Voice
from orpheus_server.chunk_speaker import ChunkAudio, ChunkJob, ChunkSpeaker
from orpheus_server.encoders import open_encoder
from orpheus_server.planning import SpeechLimits, SpeechPlan, plan_speech
from orpheus_server.sampling import SamplingOptions
from orpheus_server.seams import smooth_chunk
from orpheus_server.tasks import run_ahead
from orpheus_server.tempo import change_tempo
from orpheus_server.workers import WorkerPool

LOOK_AHEAD = 8
"""Chunks of one request in the engine at once: more fill its batch, and hold more memory."""


@dataclass(frozen=True, slots=True)
class SpeechJob:
    """A request as the pipeline sees it; everything in it is valid."""

    request_id: str
    plan: SpeechPlan
    voice: Voice
    sampling: SamplingOptions
    seed: int | None
    speed: float
    response_format: str


@dataclass(slots=True)
class SpeechStats:
    """What an answer took."""

    num_chunks: int = 0
    num_degraded_chunks: int = 0
    num_attempts: int = 0
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_dropped_symbols: int = 0
    audio_sec: float = 0.0

    def add(self, chunk: ChunkAudio) -> None:
        """Counts one chunk."""
        self.num_chunks += 1
        self.num_degraded_chunks += chunk.verdict is not None
        self.num_attempts += chunk.num_attempts
        self.num_prompt_tokens += chunk.num_prompt_tokens
        self.num_output_tokens += chunk.num_output_tokens
        self.num_dropped_symbols += chunk.num_dropped_symbols


@dataclass(frozen=True, slots=True)
class SpeechFile:
    """A whole answer in its format."""

    data: bytes
    stats: SpeechStats


class Synthesizer:
    """Speaks whole jobs; one for the process, used by every request."""

    def __init__(
        self,
        speaker: ChunkSpeaker,
        pool: WorkerPool,
        *,
        sample_rate: int,
        limits: SpeechLimits,
        expected_sec: Callable[[str], float],
        look_ahead: int = LOOK_AHEAD,
    ) -> None:
        self._speaker = speaker
        self._pool = pool
        self._sample_rate = sample_rate
        self._limits = limits
        self._expected_sec = expected_sec
        self._look_ahead = look_ahead

    async def plan(self, text: str, *, tags: frozenset[str]) -> SpeechPlan:
        """`plan_speech` off the event loop."""
        return await self._pool.run(
            plan_speech, text, tags=tags, limits=self._limits, expected_sec=self._expected_sec
        )

    async def speak(self, job: SpeechJob) -> AsyncGenerator[ChunkAudio, None]:
        """Chunks in order, the next ones being made meanwhile. Close it to stop all of them."""

        def start(index: int, text: str) -> Callable[[], Coroutine[Any, Any, ChunkAudio]]:
            chunk = ChunkJob(job.request_id, index, text, job.voice, job.sampling, job.seed)
            return partial(self._speaker.speak, chunk)

        work = (start(index, text) for index, text in enumerate(job.plan.chunks))
        async with aclosing(run_ahead(work, look_ahead=self._look_ahead)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def collect(self, job: SpeechJob) -> SpeechFile:
        """The whole answer as one file."""
        stats = SpeechStats()
        chunks: list[ChunkAudio] = []
        async with aclosing(self.speak(job)) as spoken:
            async for chunk in spoken:
                stats.add(chunk)
                chunks.append(chunk)
        data, num_samples = await self._pool.run(self._render, chunks, job)
        stats.audio_sec = num_samples / self._sample_rate
        return SpeechFile(data, stats)

    def _render(self, chunks: list[ChunkAudio], job: SpeechJob) -> tuple[bytes, int]:
        smooth = [smooth_chunk(chunk.samples, sample_rate=self._sample_rate) for chunk in chunks]
        samples = np.concatenate([empty(), *smooth])
        samples = change_tempo(samples, speed=job.speed, sample_rate=self._sample_rate)
        encoder = open_encoder(job.response_format, self._sample_rate)
        return encoder.feed(samples) + encoder.flush(), samples.size

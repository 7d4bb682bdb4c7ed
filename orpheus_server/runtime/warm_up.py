"""Warm-up and measurement of the capacity, before the first request."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace

from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.concurrency import run_together
from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.job import SpeechJob, SpeechParams, SpeechStats
from orpheus_server.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

PROBE_TEXT = "The quick brown fox jumps over the lazy dog."
ALONE_LIMIT_SEC, BESIDE_LIMIT_SEC = 1.0, 2.0
"""For the two parts of the measurement, of which unfinished sentences are measured too."""

_NUM_ALONE = 2


async def warm_up(synthesizer: Synthesizer, voice: Voice, sampling: SamplingOptions) -> None:
    """Synthesises one word, so that the first caller does not wait longer than the second."""
    short = replace(sampling, max_tokens=140)
    await _speak(synthesizer, voice, short, "Hello.", request_id="warm-up")


async def measure_capacity(
    synthesizer: Synthesizer,
    capacity: Capacity,
    voice: Voice,
    sampling: SamplingOptions,
    *,
    num_at_once: int,
) -> None:
    """Synthesises a sentence alone, then many concurrently; `capacity` learns from both."""
    started = time.monotonic()
    capacity.begin_probe()

    async def speak(request_id: str) -> None:
        await _speak(synthesizer, voice, sampling, PROBE_TEXT, request_id=request_id)

    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(ALONE_LIMIT_SEC):
                for index in range(_NUM_ALONE):
                    await speak(f"alone-{index}")
        with suppress(TimeoutError):
            async with asyncio.timeout(BESIDE_LIMIT_SEC):
                await run_together(*(speak(f"beside-{index}") for index in range(num_at_once)))
    except GenerationFailed as error:
        logger.warning("the capacity could not be measured: %s", error)
    finally:
        capacity.end_probe()
    logger.info(
        "capacity: %d streams in real time (measured in %.1f s)",
        capacity.num_streams,
        time.monotonic() - started,
    )


async def _speak(
    synthesizer: Synthesizer, voice: Voice, sampling: SamplingOptions, text: str, *, request_id: str
) -> None:
    chunks = synthesizer.chunks_of(await synthesizer.plan(text, tags=frozenset()))
    params = SpeechParams(voice, sampling, response_format="pcm", seed=1)
    await synthesizer.collect(SpeechJob(request_id, chunks, params), SpeechStats())

"""What a loaded server says to itself before the first caller."""

import asyncio
import logging
import time
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
PROBE_LIMIT_SEC = 15.0

_NUM_ALONE = 2


async def warm_up(synthesizer: Synthesizer, voice: Voice, sampling: SamplingOptions) -> None:
    """One word through everything, so that the first caller waits no longer than the second."""
    short = replace(sampling, max_tokens=140)
    await _say(synthesizer, voice, short, "Hello.", request_id="warm-up")


async def measure_capacity(
    synthesizer: Synthesizer,
    capacity: Capacity,
    voice: Voice,
    sampling: SamplingOptions,
    *,
    num_at_once: int,
) -> None:
    """Speaks a sentence alone and many at once, and has `capacity` learn from it."""
    started = time.monotonic()
    capacity.begin_probe()
    try:
        async with asyncio.timeout(PROBE_LIMIT_SEC):
            for index in range(_NUM_ALONE):
                await _say(synthesizer, voice, sampling, PROBE_TEXT, request_id=f"alone-{index}")
            await run_together(
                *(
                    _say(synthesizer, voice, sampling, PROBE_TEXT, request_id=f"beside-{index}")
                    for index in range(num_at_once)
                )
            )
    except TimeoutError:
        # So slow a machine is known well enough by what it has finished.
        pass
    except GenerationFailed as error:
        logger.warning("the capacity could not be measured: %s", error)
    finally:
        capacity.end_probe()
    logger.info(
        "carries %d streams in real time (measured in %.1f s)",
        capacity.num_streams,
        time.monotonic() - started,
    )


async def _say(
    synthesizer: Synthesizer, voice: Voice, sampling: SamplingOptions, text: str, *, request_id: str
) -> None:
    texts = synthesizer.texts_of(await synthesizer.plan(text, tags=frozenset()))
    params = SpeechParams(voice, sampling, response_format="pcm", seed=1)
    await synthesizer.collect(SpeechJob(request_id, texts, params), SpeechStats())

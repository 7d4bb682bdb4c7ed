"""Composition root: has the parts built, hands them over, closes them in reverse."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Literal

from orpheus_server.attempt import MAX_TOKENS_CAP, AttemptRunner
from orpheus_server.checkpoint import Checkpoint
from orpheus_server.choice import Choice, choose, has_cuda
from orpheus_server.chunk_speaker import AttemptCounts, ChunkSpeaker
from orpheus_server.errors import EngineDead, EngineNotReady, OrpheusError, StartError
from orpheus_server.interfaces import TokenEngine
from orpheus_server.parts import Parts, build_parts
from orpheus_server.planning import limits_for
from orpheus_server.sampling import RetryPolicy, SamplingOptions
from orpheus_server.settings import Settings
from orpheus_server.synthesizer import SpeechJob, SpeechStats, Synthesizer

logger = logging.getLogger(__name__)

Status = Literal["healthy", "starting", "degraded"]


class Runtime:
    """What the routes see: the settings, the checkpoint at once, the synthesizer once loaded."""

    def __init__(self, settings: Settings, choice: Choice) -> None:
        self.settings = settings
        self.choice = choice
        self.started_at = time.time()
        self.start_error: StartError | None = None
        self.is_closing = False
        self._engine: TokenEngine | None = None
        self._speaker: ChunkSpeaker | None = None
        self._synthesizer: Synthesizer | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that is, or will be, served."""
        return self.choice.checkpoint

    @property
    def default_sampling(self) -> SamplingOptions:
        """The checkpoint's sampling with the settings over it; no token limit of a caller."""
        settings, own = self.settings, self.checkpoint.sampling
        return replace(
            own,
            temperature=_first(settings.tts_temperature, own.temperature),
            top_p=_first(settings.tts_top_p, own.top_p),
            repetition_penalty=_first(settings.tts_repetition_penalty, own.repetition_penalty),
        )

    @property
    def synthesizer(self) -> Synthesizer:
        """Raises `EngineNotReady` while it loads and `EngineDead` when it is lost."""
        if self._synthesizer is None or self._engine is None:
            raise EngineNotReady("The speech model is still loading; try again in a moment.")
        if not self._engine.is_alive:
            raise EngineDead("The speech engine has died; the server must be restarted.")
        return self._synthesizer

    @property
    def engine(self) -> TokenEngine | None:
        """The engine once it is loaded."""
        return self._engine

    @property
    def status(self) -> Status:
        """`starting`, `healthy`, or `degraded` once the engine is lost."""
        if self._engine is None:
            return "starting"
        return "healthy" if self._engine.is_alive else "degraded"

    @property
    def num_active_generations(self) -> int:
        """Generations in the engine now."""
        return self._engine.num_active if self._engine else 0

    @property
    def counts(self) -> AttemptCounts:
        """Attempts and faults since the start."""
        return self._speaker.counts if self._speaker else AttemptCounts()

    def assemble(self, parts: Parts) -> Synthesizer:
        """The synthesizer of these parts; requests do not see it before `open_for_requests`."""
        settings, checkpoint, decoder = self.settings, self.checkpoint, parts.decoder
        max_tokens = settings.tts_max_tokens or MAX_TOKENS_CAP
        runner = AttemptRunner(
            checkpoint.layout,
            parts.prompts,
            parts.engine,
            decoder,
            parts.pool,
            max_tokens,
            # CUDA has kernels that do not care; on the CPU only being alone helps.
            one_at_a_time=settings.tts_deterministic and not self.choice.is_cuda,
        )
        retries = RetryPolicy(
            max_attempts=settings.tts_max_attempts,
            default=checkpoint.sampling,
        )
        may_be_degraded = settings.tts_on_failure == "best"
        self._speaker = ChunkSpeaker(runner, retries, may_be_degraded=may_be_degraded)
        limits = limits_for(
            checkpoint,
            frame_sec=decoder.samples_per_frame / decoder.sample_rate,
            chunk_max_chars=settings.tts_chunk_max_chars,
            max_model_len=parts.engine.max_model_len,
            max_tokens=max_tokens,
        )
        return Synthesizer(
            self._speaker,
            parts.pool,
            sample_rate=decoder.sample_rate,
            limits=limits,
            expected_sec=parts.prompts.expected_sec,
            num_slots=self.choice.max_num_seqs,
        )

    def open_for_requests(self, engine: TokenEngine, synthesizer: Synthesizer) -> None:
        """From now on requests are served."""
        self._engine, self._synthesizer = engine, synthesizer

    def close_for_requests(self) -> None:
        """From now on requests are told to come back later."""
        self._engine, self._synthesizer = None, None


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, on_start_failure: Callable[[], None]
) -> AsyncIterator[Runtime]:
    """A runtime whose model loads in the background while the server already answers.

    A failure to load is kept in `start_error`, logged, and `on_start_failure` is called.
    """
    is_cuda = await asyncio.to_thread(has_cuda)
    runtime = Runtime(settings, choose(settings, has_cuda=is_cuda))
    logger.info("serving %s", runtime.choice.describe())
    async with AsyncExitStack() as stack:
        loading = asyncio.create_task(_load(runtime, stack, on_start_failure))
        try:
            yield runtime
        finally:
            runtime.close_for_requests()
            if not loading.done():
                # A thread that builds an engine cannot be stopped; what it built is then closed.
                runtime.is_closing = True
                logger.info("waiting for the model to finish loading before the end")
            await loading
            _log_counts(runtime.counts)


async def _load(
    runtime: Runtime, stack: AsyncExitStack, on_start_failure: Callable[[], None]
) -> None:
    started = time.monotonic()
    try:
        parts = await asyncio.to_thread(build_parts, runtime.choice, runtime.settings)
        stack.push_async_callback(parts.pool.close)
        stack.push_async_callback(parts.decoder.close)
        stack.push_async_callback(parts.engine.close)
        synthesizer = runtime.assemble(parts)
        await _warm_up(runtime, synthesizer)
        # What is loaded now stays: a collection that walks all of it stops every stream at once.
        gc.collect()
        gc.freeze()
    except OrpheusError as error:
        _fail(runtime, error, on_start_failure)
    except Exception as error:  # an edge of the process: it must end, not stay "starting" for ever
        logger.exception("unexpected failure while loading")
        _fail(runtime, error, on_start_failure)
    else:
        runtime.open_for_requests(parts.engine, synthesizer)
        logger.info("ready after %.1f s", time.monotonic() - started)


def _fail(runtime: Runtime, error: Exception, on_start_failure: Callable[[], None]) -> None:
    if runtime.is_closing:
        # Ctrl-C reaches the engine's processes too, and their end is no failure then.
        return
    runtime.start_error = StartError(str(error))
    logger.critical("the server cannot start: %s", error)
    on_start_failure()


def _log_counts(counts: AttemptCounts) -> None:
    logger.info(
        "closed after chunks=%d attempts=%d degraded=%d faults=%s rollbacks=%s",
        counts.num_chunks,
        counts.num_attempts,
        counts.num_degraded_chunks,
        *(
            {str(fault): count for fault, count in each.items()}
            for each in (counts.faults, counts.rollbacks)
        ),
    )


async def _warm_up(runtime: Runtime, synthesizer: Synthesizer) -> None:
    """One word through everything, so that the first caller waits no longer than the second."""
    job = SpeechJob(
        request_id="warm-up",
        texts=synthesizer.texts_of(await synthesizer.plan("Hello.", tags=frozenset())),
        voice=runtime.checkpoint.default_voice,
        sampling=replace(runtime.default_sampling, max_tokens=140),
        seed=1,
        speed=1.0,
        response_format="pcm",
    )
    await synthesizer.collect(job, SpeechStats())


def _first(value: float | None, default: float) -> float:
    return default if value is None else value

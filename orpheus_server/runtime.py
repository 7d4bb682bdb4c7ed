"""Composition root: builds the parts, hands them over, closes them in reverse.

The only place that names concrete adapters. Heavy libraries are imported inside functions, in a
thread: the port answers while torch, vLLM and the weights load.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from orpheus_server.attempt import MAX_TOKENS_CAP, AttemptRunner
from orpheus_server.checkpoint import Checkpoint
from orpheus_server.choice import Choice, choose, has_cuda
from orpheus_server.chunk_speaker import AttemptCounts, ChunkSpeaker
from orpheus_server.errors import EngineDead, EngineNotReady, OrpheusError, StartError
from orpheus_server.interfaces import FrameDecoder, TokenEngine
from orpheus_server.phonemes import build_phonemizer
from orpheus_server.planning import SpeechPlan, limits_for
from orpheus_server.prompts import PromptBuilder, load_tokenizer
from orpheus_server.sampling import RetryPolicy, SamplingOptions
from orpheus_server.settings import Settings
from orpheus_server.synthesizer import SpeechJob, Synthesizer
from orpheus_server.workers import WorkerPool

logger = logging.getLogger(__name__)

Status = Literal["healthy", "starting", "degraded"]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a loaded server speaks with."""

    prompts: PromptBuilder
    engine: TokenEngine
    decoder: FrameDecoder
    pool: WorkerPool


class Runtime:
    """What the routes see: the settings, the checkpoint at once, the synthesizer once loaded."""

    def __init__(self, settings: Settings, choice: Choice) -> None:
        self.settings = settings
        self.choice = choice
        self.started_at = time.time()
        self.start_error: StartError | None = None
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
            checkpoint.layout, parts.prompts, parts.engine, decoder, parts.pool, max_tokens
        )
        retries = RetryPolicy(
            max_attempts=settings.tts_max_attempts,
            default_temperature=checkpoint.sampling.temperature,
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
            self._speaker, parts.pool, sample_rate=decoder.sample_rate, limits=limits
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
            # A thread that builds an engine cannot be stopped; what it built is then closed.
            await loading


async def _load(
    runtime: Runtime, stack: AsyncExitStack, on_start_failure: Callable[[], None]
) -> None:
    started = time.monotonic()
    try:
        parts = await asyncio.to_thread(_build_parts, runtime.choice, runtime.settings)
        stack.push_async_callback(parts.pool.close)
        stack.push_async_callback(parts.decoder.close)
        stack.push_async_callback(parts.engine.close)
        synthesizer = runtime.assemble(parts)
        await _warm_up(runtime, synthesizer)
    except OrpheusError as error:
        _fail(runtime, error, on_start_failure)
    except Exception as error:  # an edge of the process: it must end, not stay "starting" for ever
        logger.exception("unexpected failure while loading")
        _fail(runtime, error, on_start_failure)
    else:
        runtime.open_for_requests(parts.engine, synthesizer)
        logger.info("ready after %.1f s", time.monotonic() - started)


def _fail(runtime: Runtime, error: Exception, on_start_failure: Callable[[], None]) -> None:
    runtime.start_error = StartError(str(error))
    logger.critical("the server cannot start: %s", error)
    on_start_failure()


async def _warm_up(runtime: Runtime, synthesizer: Synthesizer) -> None:
    """One word through everything, so that the first caller waits no longer than the second."""
    job = SpeechJob(
        request_id="warm-up",
        plan=SpeechPlan(("Hello.",)),
        voice=runtime.checkpoint.default_voice,
        sampling=replace(runtime.default_sampling, max_tokens=140),
        seed=1,
        speed=1.0,
        response_format="pcm",
    )
    await synthesizer.collect(job)


def _prepare_vllm() -> None:
    """vLLM's own switches, before it is imported; what the user set stays.

    Its log is ours to sum up, nobody asked to send usage statistics anywhere, and a process that
    has threads and may have touched CUDA must not be forked.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")


def _build_parts(choice: Choice, settings: Settings) -> Parts:
    _prepare_vllm()
    # Imported here because they take ten seconds: the port answers meanwhile.
    import torch

    from orpheus_server.codec.snac_decoder import SnacDecoder, load_codec, use_one_thread

    try:
        from orpheus_server.engines.vllm_engine import VllmOptions, build_vllm_engine
    except ImportError as error:
        raise StartError(
            f"vLLM cannot be imported ({error}). 'make serve' installs it, or "
            "'pip install --no-deps -r requirements.txt' (requirements-cuda.txt with a GPU)."
        ) from error
    from orpheus_server.weights import CODEC_FILES, MODEL_FILES, find_files

    checkpoint = choice.checkpoint
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    folder = find_files(checkpoint.source, patterns=MODEL_FILES, token=token)
    codec_source = checkpoint.codec
    if (folder / codec_source).is_dir():
        codec_source = str(folder / codec_source)
    codec_folder = find_files(codec_source, patterns=CODEC_FILES, token=token)
    name = checkpoint.text_frontend
    phonemizer = None if name == "none" else build_phonemizer(name)
    prompts = PromptBuilder(checkpoint, load_tokenizer(folder), phonemizer)
    pool = WorkerPool(choice.max_workers, initializer=use_one_thread)
    device = torch.device(choice.codec_device)
    decoder = SnacDecoder(load_codec(codec_folder), checkpoint.layout, device, pool)
    options = VllmOptions(
        folder=Path(folder),
        is_cuda=choice.is_cuda,
        dtype=choice.dtype,
        max_model_len=choice.max_model_len,
        max_num_seqs=choice.max_num_seqs,
        gpu_memory_utilization=settings.tts_gpu_memory_utilization,
        tensor_parallel_size=settings.tts_tensor_parallel_size,
    )
    engine = build_vllm_engine(checkpoint, options)
    return Parts(prompts, engine, decoder, pool)


def _first(value: float | None, default: float) -> float:
    return default if value is None else value

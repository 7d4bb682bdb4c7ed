"""Composition root: builds the models, hands them over, closes them in reverse order."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from orpheus_server.chat.selection import AUTO, resolve_chat_config
from orpheus_server.engine.fork_server import start_fork_server
from orpheus_server.engine.reaper import OrphanReaper
from orpheus_server.errors import OrpheusError, StartError
from orpheus_server.runtime.chat_stack import open_chat_model
from orpheus_server.runtime.engine_choice import (
    ENGINE_LABELS,
    choose_engine,
    needs_vllm,
    settings_without_effect,
)
from orpheus_server.runtime.hardware import find_hardware, has_cpu_engine, has_vllm
from orpheus_server.runtime.preflight import check_memory
from orpheus_server.runtime.serving_config import resolve_config
from orpheus_server.runtime.speech_stack import build_speech_stack, prepare_vllm, supervise_engine
from orpheus_server.runtime.state import Runtime
from orpheus_server.runtime.warm_up import measure_capacity, warm_up
from orpheus_server.settings import Settings
from orpheus_server.synthesis.chunk_synthesizer import AttemptCounts
from orpheus_server.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

WARM_UP_LIMIT_SEC = 300
"""The first word compiles kernels on CUDA, and the supervisor does not watch the engine yet."""

CLOSE_LIMIT_SEC = 5.0
"""An idle engine closes in a second or two. One that is still being built, or that hangs, is killed
by then."""

PROBE_STREAMS, CUDA_PROBE_STREAMS = 16, 64
"""Concurrent sentences while the capacity is measured: about as many as such a machine can serve in
real time."""


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    on_start_failure: Callable[[], None],
    abandon: Callable[[], None] | None = None,
    url: str | None = None,
) -> AsyncIterator[Runtime]:
    """Yields a runtime whose models load in the background while the server already answers.

    A failure to load is logged and stored in `start_error`, and `on_start_failure` is called.
    `abandon` ends the process; it is called if closing takes longer than `CLOSE_LIMIT_SEC`. Without
    it, closing waits for an engine that is being built: a thread cannot be stopped. `url` is the
    server's own, for the log line when everything is loaded.
    """
    engine = choose_engine(settings, has_vllm=has_vllm())
    # At once: to find the hardware, torch has to be imported.
    logger.info("loading, with the engine %s", ENGINE_LABELS[engine.name])
    chat = resolve_chat_config(settings, runs_gemma=False)
    if has_cpu_engine() and needs_vllm(engine.name, chat):
        # First of all: it imports on one core what this process imports on another.
        prepare_vllm(settings, is_cuda=False)
        await asyncio.to_thread(start_fork_server)
    hardware = await asyncio.to_thread(find_hardware, engine.name)
    config = resolve_config(settings, hardware, engine, has_vllm=has_vllm())
    runtime = Runtime(settings, config)
    logger.info("loading %s", config.describe())
    for line in settings_without_effect(settings, engine.name):
        logger.warning(line)
    if settings.llm_model_name == AUTO and runtime.config.chat is None:
        missing = "vLLM" if hardware.has_cuda else "a CUDA GPU"
        logger.info("no chat: LLM_MODEL_NAME=auto needs %s, and there is none", missing)
    async with AsyncExitStack() as stack:
        # Entered first, so it is left last.
        limit = stack.enter_context(ExitStack())
        loading = asyncio.create_task(_load(runtime, stack, on_start_failure, url))
        try:
            yield runtime
        finally:
            runtime.close_for_requests()
            if abandon is not None:
                timer = asyncio.get_running_loop().call_later(CLOSE_LIMIT_SEC, abandon)
                limit.callback(timer.cancel)
            if not loading.done():
                runtime.is_closing = True
                if runtime.preparing is not None:
                    runtime.preparing.cancel()
                logger.info("closing while the model is still loading")
            await loading
            _log_counts(runtime.counts)


async def _load(
    runtime: Runtime, stack: AsyncExitStack, on_start_failure: Callable[[], None], url: str | None
) -> None:
    started = time.monotonic()

    def give_up(label: str) -> None:
        runtime.fail(StartError(f"the {label} has died too often"))
        on_start_failure()

    try:
        reaper = await asyncio.to_thread(OrphanReaper)
        stack.push_async_callback(asyncio.to_thread, reaper.close)
        models = runtime.config, runtime.settings, runtime.download
        await asyncio.to_thread(check_memory, *models)
        speech = await asyncio.to_thread(build_speech_stack, *models)
        stack.push_async_callback(speech.pool.close)
        stack.push_async_callback(speech.decoder.close)
        supervisor = None
        if runtime.config.engine != "completions":
            supervisor = supervise_engine(
                speech,
                runtime.checkpoint,
                runtime.settings,
                group=runtime.engine_group,
                on_give_up=partial(give_up, "speech engine"),
            )
            speech, runtime.supervisor = replace(speech, engine=supervisor), supervisor
        stack.push_async_callback(speech.engine.close)
        synthesizer = runtime.assemble(speech)
        if runtime.is_closing:
            return
        runtime.preparing = asyncio.create_task(_prepare(runtime, synthesizer))
        await runtime.preparing
        if supervisor is not None:
            # Only now: the first generation may compile for longer than an engine may stall.
            supervisor.open()
        runtime.open_for_requests(speech.engine, synthesizer)
        if runtime.config.chat is not None:
            # One after the other: engines that load together each count the memory of both.
            logger.info("the voice is ready after %.1f s", time.monotonic() - started)
            chat = await open_chat_model(
                runtime.config.chat,
                runtime.settings,
                stack,
                is_cuda=runtime.config.is_cuda and not has_cpu_engine(),
                group=runtime.engine_group,
                on_give_up=partial(give_up, "language model"),
                download=runtime.download,
            )
            if runtime.is_closing:
                return
            runtime.open_chat(chat)
        # Everything loaded so far stays: without `freeze`, each full collection walks all of it and
        # interrupts every stream.
        gc.collect()
        gc.freeze()
    except asyncio.CancelledError:
        if not runtime.is_closing:
            raise
    except OrpheusError as error:
        _fail(runtime, error, on_start_failure)
    except Exception as error:  # the process must exit, not stay "starting" forever
        logger.exception("unexpected failure while loading")
        _fail(runtime, error, on_start_failure)
    else:
        where = f": {url}" if url else ""
        logger.info("ready%s (after %.1f s)", where, time.monotonic() - started)


async def _prepare(runtime: Runtime, synthesizer: Synthesizer) -> None:
    voice, sampling = runtime.checkpoint.default_voice, runtime.services.default_sampling
    try:
        async with asyncio.timeout(WARM_UP_LIMIT_SEC):
            await warm_up(synthesizer, voice, sampling)
    except TimeoutError:
        raise StartError(
            f"the engine did not speak one word within {WARM_UP_LIMIT_SEC} s after it was loaded"
        ) from None
    if runtime.settings.tts_max_streams is not None:
        return
    config = runtime.config
    num_at_once = CUDA_PROBE_STREAMS if config.is_cuda else PROBE_STREAMS
    await measure_capacity(
        synthesizer,
        runtime.capacity,
        voice,
        sampling,
        num_at_once=min(num_at_once, config.max_num_seqs, runtime.capacity.ceiling),
    )


def _fail(runtime: Runtime, error: Exception, on_start_failure: Callable[[], None]) -> None:
    if runtime.is_closing or runtime.draining.is_set():
        # Ctrl-C also reaches the engines' processes, and then their exit is not a failure.
        return
    runtime.fail(StartError(str(error)))
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

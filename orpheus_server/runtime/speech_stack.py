"""Builds the voice's engine, codec, prompts and threads; the only module that names their adapters.

Heavy libraries are imported inside functions that run in a thread, so that the port answers while
torch, vLLM and the weights load.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import ceil
from pathlib import Path

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.download import Download
from orpheus_server.concurrency import WorkerPool, num_cores
from orpheus_server.engine.cpu_threads import num_engine_threads
from orpheus_server.engine.group import EngineGroup
from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import StartError
from orpheus_server.interfaces import FrameDecoder, TokenEngine, TokenRequest
from orpheus_server.runtime.engine_choice import completion_urls, needs_vllm
from orpheus_server.runtime.serving_config import ServingConfig
from orpheus_server.settings import Settings
from orpheus_server.synthesis.attempt import MAX_TOKENS_CAP, AttemptRunner
from orpheus_server.synthesis.capacity import Capacity
from orpheus_server.synthesis.chunk_synthesizer import ChunkSynthesizer
from orpheus_server.synthesis.prompts import PromptBuilder, load_tokenizer
from orpheus_server.synthesis.retry import RetryPolicy
from orpheus_server.synthesis.synthesizer import Synthesizer
from orpheus_server.text.chunking import limits_for
from orpheus_server.text.front_end import LETTERS, FrontEnd, PhonemeFrontEnd
from orpheus_server.text.phonemes import build_phonemizer


@dataclass(frozen=True, slots=True)
class SpeechStack:
    """The loaded parts of the voice."""

    front_end: FrontEnd
    prompts: PromptBuilder
    engine: TokenEngine
    decoder: FrameDecoder
    pool: WorkerPool
    build_engine: Callable[[], TokenEngine]
    """Builds a replacement for `engine`, which must have been closed; blocking."""
    num_slots: Callable[[], int | None] | None = None
    """Returns the generations that servers elsewhere run at once, None if they do not say."""


def supervise_engine(
    speech: SpeechStack,
    checkpoint: Checkpoint,
    settings: Settings,
    *,
    group: EngineGroup,
    on_give_up: Callable[[], None],
) -> EngineSupervisor:
    """Returns a supervisor for the stack's engine that restarts the engine whenever it dies."""
    numbers = count()

    async def probe() -> TokenRequest:
        chunk = await speech.pool.run(speech.front_end.prepare, "Hello.")
        prompt = await speech.pool.run(speech.prompts.build, chunk, checkpoint.default_voice)
        return TokenRequest(
            request_id=f"probe-{next(numbers)}",
            prompt_token_ids=prompt.token_ids,
            sampling=checkpoint.sampling,
            max_tokens=1,
            seed=1,
        )

    return EngineSupervisor(
        speech.engine,
        group.alone(speech.build_engine),
        probe=probe,
        stall_sec=settings.tts_engine_stall_sec,
        max_restarts=settings.tts_max_restarts,
        on_give_up=on_give_up,
        may_restart=lambda: group.may_restart,
    )


def prepare_vllm(settings: Settings, *, is_cuda: bool) -> None:
    """Sets vLLM's environment variables before it is imported, except those the user has set.

    We summarise its log ourselves, users have not agreed to send usage statistics, and a process
    that has threads and may have touched CUDA must not be forked.
    """
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # vLLM's processes inherit it: future changes in its dependencies do not concern users.
    # An engine that is killed leaves its semaphores to `multiprocessing`'s resource tracker, which
    # removes them, but also warns of them when the server has already ended.
    os.environ.setdefault(
        "PYTHONWARNINGS", "ignore::FutureWarning,ignore:resource_tracker:UserWarning"
    )
    # A second safety net below the supervisor: vLLM ends its engine core when a worker hangs, by
    # default only after five minutes.
    os.environ.setdefault(
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", str(ceil(2 * settings.tts_engine_stall_sec) + 30)
    )
    if not is_cuda:
        # The processes of all engines inherit it; vLLM leaves it to OpenMP, which takes all cores.
        os.environ.setdefault("OMP_NUM_THREADS", str(num_engine_threads(num_cores())))
        # vLLM sets both, but later than the fork server imports torch, which reads them then.
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        os.environ.setdefault("TORCHINDUCTOR_CPP_DYNAMIC_THREADS", "1")
    if is_cuda and settings.tts_deterministic:
        os.environ.setdefault("VLLM_BATCH_INVARIANT", "1")


def build_speech_stack(
    config: ServingConfig, settings: Settings, download: Download | None = None
) -> SpeechStack:
    """Loads everything; takes tens of seconds, so call it in a thread. Raises `StartError`.

    The progress of files that are not on this machine is in `download`.
    """
    if needs_vllm(config.engine, config.chat):
        prepare_vllm(settings, is_cuda=config.is_cuda)
    # Imported here because they take ten seconds, and the port must answer meanwhile.
    import torch

    from orpheus_server.audio.snac.decoder import SnacDecoder, load_codec, use_one_thread
    from orpheus_server.checkpoints.weights import (
        CODEC_FILES,
        MODEL_FILES,
        TOKENIZER_FILES,
        find_files,
    )

    checkpoint = config.checkpoint
    token = settings.hub_token
    patterns = TOKENIZER_FILES if config.engine == "completions" else MODEL_FILES
    folder = find_files(checkpoint.source, patterns=patterns, token=token, download=download)
    build_engine = _engine_builder(config, settings, folder)
    codec_source = checkpoint.codec
    if "/" not in codec_source or (folder / codec_source).is_dir():
        codec_source = str(folder / codec_source)
    codec_folder = find_files(codec_source, patterns=CODEC_FILES, token=token, download=download)
    name = checkpoint.text_frontend
    front_end: FrontEnd = LETTERS
    if name != "none":
        phonemizer = build_phonemizer(name)
        front_end = PhonemeFrontEnd(
            phonemizer, checkpoint.max_sentences, is_word=phonemizer.is_word
        )
    prompts = PromptBuilder(checkpoint, load_tokenizer(folder))
    pool = WorkerPool(config.max_workers, initializer=use_one_thread)
    device = torch.device(config.codec_device)
    decoder = SnacDecoder(
        load_codec(codec_folder),
        checkpoint.layout,
        device,
        pool,
        first_frames=settings.tts_first_audio_frames,
        is_deterministic=settings.tts_deterministic,
    )
    if decoder.sample_rate != checkpoint.sample_rate:
        raise StartError(
            f"the codec's sample rate is {decoder.sample_rate} Hz, but the checkpoint says "
            f"{checkpoint.sample_rate}."
        )
    engine = build_engine()
    return SpeechStack(
        front_end, prompts, engine, decoder, pool, build_engine, _slots_counter(engine, config)
    )


def _slots_counter(engine: TokenEngine, config: ServingConfig) -> Callable[[], int | None] | None:
    if config.engine != "completions":
        return None
    from orpheus_server.engine.completions_engine import CompletionsEngine

    assert isinstance(engine, CompletionsEngine)
    return engine.count_slots


def _engine_builder(
    config: ServingConfig, settings: Settings, folder: Path
) -> Callable[[], TokenEngine]:
    """Imports the engine; raises `StartError` if that fails."""
    checkpoint = config.checkpoint
    if config.engine == "completions":
        from orpheus_server.engine.completions_engine import (
            CompletionsOptions,
            build_completions_engine,
        )

        key = settings.tts_completions_api_key
        remote = CompletionsOptions(
            urls=completion_urls(settings),
            api_key=None if key is None else key.get_secret_value(),
            folder=folder,
            max_model_len=config.max_model_len,
            token_limit_sec=settings.tts_engine_stall_sec,
        )
        return partial(build_completions_engine, checkpoint, remote)
    if config.engine == "transformers":
        from orpheus_server.engine.transformers_engine import (
            TransformersOptions,
            build_transformers_engine,
        )

        local = TransformersOptions(
            folder=folder,
            dtype=config.dtype,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            device_map=settings.tts_device_map,
        )
        return partial(build_transformers_engine, checkpoint, local)
    try:
        from orpheus_server.engine.speech_engine import build_speech_engine
        from orpheus_server.engine.vllm_loader import VllmOptions
    except ImportError as error:
        raise StartError(
            f"vLLM cannot be imported ({error}). 'make serve' installs it, or "
            "'pip install --no-deps -r requirements.txt' (requirements-cuda.txt with a GPU)."
        ) from error
    options = VllmOptions(
        folder=folder,
        is_cuda=config.is_cuda,
        dtype=config.dtype,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        gpu_memory_utilization=config.gpu_share,
        is_eager=config.is_eager,
        tensor_parallel_size=settings.tts_tensor_parallel_size,
    )
    return partial(build_speech_engine, checkpoint, options)


def build_synthesizer(
    speech: SpeechStack, config: ServingConfig, settings: Settings, *, capacity: Capacity
) -> tuple[ChunkSynthesizer, Synthesizer]:
    """Returns the synthesizer, and its chunk synthesizer, which counts attempts."""
    checkpoint, decoder = config.checkpoint, speech.decoder
    max_tokens = settings.tts_max_tokens or MAX_TOKENS_CAP
    runner = AttemptRunner(
        checkpoint.layout,
        speech.prompts,
        speech.engine,
        decoder,
        speech.pool,
        max_tokens,
        # vLLM has batch-invariant kernels for CUDA; else only a batch of one is deterministic.
        one_at_a_time=settings.tts_deterministic
        and not (config.is_cuda and config.engine == "vllm"),
    )
    retries = RetryPolicy(
        max_attempts=settings.tts_max_attempts,
        default=checkpoint.sampling,
    )
    may_be_degraded = settings.tts_on_failure == "best"
    chunk_synthesizer = ChunkSynthesizer(
        runner, speech.front_end, speech.pool, retries, may_be_degraded=may_be_degraded
    )
    limits = limits_for(
        checkpoint,
        frame_sec=decoder.samples_per_frame / decoder.sample_rate,
        chunk_max_chars=settings.tts_chunk_max_chars,
        max_model_len=speech.engine.max_model_len,
        max_tokens=max_tokens,
    )
    return chunk_synthesizer, Synthesizer(
        chunk_synthesizer,
        speech.pool,
        sample_rate=decoder.sample_rate,
        limits=limits,
        front_end=speech.front_end,
        capacity=capacity,
        may_pause=not settings.tts_deterministic,
    )

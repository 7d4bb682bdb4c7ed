"""vLLM's `AsyncLLMEngine` behind the `TokenEngine` protocol."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import psutil
from vllm import SamplingParams, TokensPrompt
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.engine.async_llm_engine import AsyncLLMEngine
from vllm.exceptions import VLLMClientError, VLLMServerError
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError

from orpheus_server.checkpoint import Checkpoint, DtypeName
from orpheus_server.engines.processes import find_processes, kill_processes
from orpheus_server.engines.slot_mask import layout_to_config
from orpheus_server.errors import EngineDead, EngineNotReady, GenerationFailed, StartError
from orpheus_server.interfaces import FinishReason, TokenDelta, TokenRequest

logger = logging.getLogger(__name__)

CPU_KV_CACHE_BYTES = 1 << 30
"""1 GiB: 9,300 tokens of the 3B model in bfloat16, far more of a small one."""

SMALLEST_TOP_P = 1e-6
"""vLLM refuses 0; this keeps the likeliest token only, which is what 0 means."""

SHUTDOWN_SEC = 10.0
"""A core and its workers take 4 s on two slow processors; one that takes longer is stopped."""

MIN_MODEL_LEN = 2048
"""Below this a chunk of ordinary length no longer fits: 2048 tokens are 25 s of audio."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How the engine is built; `gpu_memory_utilization` is a share of the GPU, unused on CPU."""

    folder: Path
    is_cuda: bool
    dtype: DtypeName
    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float
    tensor_parallel_size: int = 1


class VllmEngine:
    """One engine in this process; its core runs in processes of its own."""

    def __init__(
        self,
        engine: AsyncLLMEngine,
        checkpoint: Checkpoint,
        processes: frozenset[psutil.Process] = frozenset(),
    ) -> None:
        self._engine: AsyncLLMEngine | None = engine
        self._processes = processes
        self._layout = checkpoint.layout
        model_config = engine.vllm_config.model_config
        self._vocab_size = model_config.get_vocab_size()
        self._max_model_len: int = model_config.max_model_len
        self._loop: asyncio.AbstractEventLoop | None = None
        self._num_active = 0
        self._num_cached_tokens = 0
        cache = engine.vllm_config.cache_config
        self._cache_tokens: int = (cache.num_gpu_blocks or 0) * cache.block_size

    @property
    def max_model_len(self) -> int:
        """Longest prompt and output together, in tokens, after fitting to the cache."""
        return self._max_model_len

    @property
    def num_active(self) -> int:
        """Our own count: vLLM's stays up after its core has died."""
        return self._num_active

    @property
    def process_ids(self) -> frozenset[int]:
        """Of its core and workers."""
        return frozenset(process.pid for process in self._processes)

    @property
    def kv_cache_share(self) -> float:
        """Counted here: vLLM's own figure comes with statistics that double the cost of a token."""
        return self._num_cached_tokens / self._cache_tokens if self._cache_tokens else 0.0

    @property
    def is_alive(self) -> bool:
        """False once the engine core has died."""
        return self._engine is not None and not self._engine.errored

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Deltas of new ids; one every frame, the first at once."""
        self._check(request)
        if self._engine is None:
            raise EngineNotReady("the engine is closed")
        self._num_active += 1
        num_tokens = len(request.prompt_token_ids)
        self._num_cached_tokens += num_tokens
        try:
            prompt = TokensPrompt(prompt_token_ids=list(request.prompt_token_ids))
            sampling = self._sampling_params(request)
            outputs = self._engine.generate(prompt, sampling, request.request_id)
            async with aclosing(outputs):
                async for output in outputs:
                    completion = output.outputs[0]
                    num_tokens += len(completion.token_ids)
                    self._num_cached_tokens += len(completion.token_ids)
                    reason = _finish_reason(completion.finish_reason)
                    yield TokenDelta(tuple(completion.token_ids), reason)
        except EngineDeadError as error:
            raise EngineDead("the speech engine has died") from error
        except (VLLMClientError, VLLMServerError) as error:
            raise GenerationFailed(f"the engine failed on the request: {error}") from error
        finally:
            self._num_active -= 1
            self._num_cached_tokens -= num_tokens

    def kill(self) -> None:
        """Ends its processes at once, stopped ones too; what is in it raises `EngineDead`."""
        kill_processes(self._processes)

    async def close(self) -> None:
        """Ends the engine core, which has a moment for it and is killed then."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        if engine.output_handler is not None:
            # It would take the end of its core for a crash and log one.
            engine.output_handler.cancel()
        await asyncio.to_thread(_shut_down, engine, self._processes)

    def _check(self, request: TokenRequest) -> None:
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            # vLLM would produce the tokens and never wake this loop.
            raise RuntimeError("the engine was used from a second event loop")
        # One id outside of the vocabulary kills the engine for everyone.
        if not all(0 <= token_id < self._vocab_size for token_id in request.prompt_token_ids):
            raise GenerationFailed("the prompt has an id outside of the vocabulary")
        num_tokens = len(request.prompt_token_ids) + request.max_tokens
        if not request.prompt_token_ids or request.max_tokens < 1:
            raise GenerationFailed("the prompt is empty, or no token may follow it")
        if num_tokens > self._max_model_len:
            raise GenerationFailed(
                f"{num_tokens} tokens do not fit into the context of {self._max_model_len}"
            )

    def _sampling_params(self, request: TokenRequest) -> SamplingParams:
        sampling = request.sampling
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=max(sampling.top_p, SMALLEST_TOP_P),
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop_token_ids=list(self._layout.stop_token_ids),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            stream_interval=self._layout.num_slots,
        )


def _shut_down(engine: AsyncLLMEngine, processes: frozenset[psutil.Process]) -> None:
    """vLLM kills a core that takes too long, and leaves its workers."""
    try:
        engine.shutdown(timeout=SHUTDOWN_SEC)
    finally:
        kill_processes(processes)


def _finish_reason(reason: str | None) -> FinishReason | None:
    if reason is None:
        return None
    if reason == "stop":
        return "stop"
    if reason == "length":
        return "length"
    raise GenerationFailed(f"the engine ended the request with {reason!r}")


def build_vllm_engine(checkpoint: Checkpoint, options: VllmOptions) -> VllmEngine:
    """Loads the model; takes tens of seconds, so call it from a thread.

    The context is lowered to what the model and the cache hold, with one line in the log. Raises
    `StartError` if that is below 2048 tokens or the model cannot be loaded.
    """
    wanted = min(options.max_model_len, _own_max_len(options.folder))
    args = AsyncEngineArgs(
        model=str(options.folder),
        dtype=options.dtype,
        skip_tokenizer_init=True,
        # -1 fits the context to the cache; the wanted length goes in as the model's own limit.
        max_model_len=-1,
        hf_overrides={"max_position_embeddings": wanted},
        max_num_seqs=options.max_num_seqs,
        tensor_parallel_size=options.tensor_parallel_size,
        # Prompts are short and all different: the cache of prefixes would never hit.
        enable_prefix_caching=False,
        disable_log_stats=True,
        use_tqdm_on_load=False,
        additional_config=layout_to_config(checkpoint.layout),
    )
    if options.is_cuda:
        args.gpu_memory_utilization = options.gpu_memory_utilization
    else:
        args.kv_cache_memory_bytes = CPU_KV_CACHE_BYTES
        # Compiling takes longer than a laptop's first sentence and gains little on two cores.
        args.enforce_eager = True
    others = find_processes()
    try:
        config = args.create_engine_config()
        version = "v2:SlotMaskV2" if config.use_v2_model_runner else "v1:SlotMaskV1"
        config.model_config.logits_processors = [f"orpheus_server.engines.slot_mask_{version}"]
        engine = AsyncLLMEngine.from_vllm_config(config, disable_log_stats=True)
    except (ValueError, RuntimeError, OSError) as error:
        kill_processes(find_processes() - others)
        raise StartError(f"vLLM cannot load {options.folder}: {error}") from error
    processes = find_processes() - others
    fitted = engine.vllm_config.model_config.max_model_len
    if fitted < MIN_MODEL_LEN:
        _shut_down(engine, processes)
        raise StartError(
            f"the key-value cache holds only {fitted} tokens, at least {MIN_MODEL_LEN} are needed: "
            "free memory, or raise TTS_GPU_MEMORY_UTILIZATION"
        )
    if fitted < options.max_model_len:
        logger.warning(
            "context lowered from %d to %d tokens: the %s holds no more",
            options.max_model_len,
            fitted,
            "model" if fitted == wanted else "key-value cache",
        )
    return VllmEngine(engine, checkpoint, processes)


def _own_max_len(folder: Path) -> int:
    """What the model was built for, from its `config.json`. Raises `StartError`."""
    path = folder / "config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(f"{path} is not the configuration of a Llama: {error}") from error

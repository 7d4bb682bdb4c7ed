"""Starts vLLM engines, for speech and for language models."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.engine.async_llm_engine import AsyncLLMEngine
from vllm.v1.engine import utils as engine_utils

from orpheus_server.engine.ctrl_c import ctrl_c_blocked
from orpheus_server.engine.fork_context import EngineContext
from orpheus_server.engine.memory import CPU_KV_CACHE_BYTES
from orpheus_server.engine.processes import find_processes, kill_processes
from orpheus_server.engine.vllm_engine import EngineKind, VllmEngine, shut_down
from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName

logger = logging.getLogger(__name__)

# vLLM's own number. Without parts of prompts, a step must hold the longest prompt as well.
_CPU_TOKENS_PER_STEP = 2048

CPU_WORKER = "orpheus_server.engine.cpu_worker.CompiledCpuWorker"


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """Options of an engine; `gpu_memory_utilization` is a share of the GPU, unused on a CPU.

    With `is_eager` the model is not compiled.
    """

    folder: Path
    is_cuda: bool
    dtype: DtypeName
    max_model_len: int
    max_num_seqs: int
    gpu_memory_utilization: float
    is_eager: bool
    tensor_parallel_size: int = 1

    @property
    def is_one_process(self) -> bool:
        """Whether the engine's core computes by itself, without workers."""
        return not self.is_cuda and self.tensor_parallel_size == 1


def engine_args(options: VllmOptions) -> AsyncEngineArgs:
    """Returns arguments for an engine without a tokenizer, with the memory of its device."""
    args = AsyncEngineArgs(
        model=str(options.folder),
        dtype=options.dtype,
        skip_tokenizer_init=True,
        max_num_seqs=options.max_num_seqs,
        tensor_parallel_size=options.tensor_parallel_size,
        enforce_eager=options.is_eager,
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )
    if options.is_cuda:
        args.gpu_memory_utilization = options.gpu_memory_utilization
    else:
        args.kv_cache_memory_bytes = CPU_KV_CACHE_BYTES
        # vLLM 0.32 dies on a CPU when it computes a part of a seeded request's prompt: it rewinds
        # the request's random generator by an offset, which only those of GPUs have.
        args.enable_chunked_prefill = False
        args.max_num_batched_tokens = max(_CPU_TOKENS_PER_STEP, options.max_model_len)
    return args


def use_one_process(config: VllmConfig) -> None:
    """Lets the engine's core compute by itself, in a configuration that is otherwise final.

    vLLM starts a worker even for one, so that it can bind OpenMP threads to cores, and the core
    waits for each of its steps in a busy loop: that takes a second core.
    """
    config.parallel_config.distributed_executor_backend = "uni"
    config.parallel_config.worker_cls = CPU_WORKER


@contextmanager
def _copied_process() -> Iterator[None]:
    """Lets vLLM start processes as copies of the fork server; it has no option for that."""
    original = engine_utils.get_mp_context
    engine_utils.get_mp_context = EngineContext
    try:
        yield
    finally:
        engine_utils.get_mp_context = original


def start_engine(
    args: AsyncEngineArgs,
    options: VllmOptions,
    kind: EngineKind,
    *,
    own_max_len: int,
    adapt: Callable[[VllmConfig], None],
) -> VllmEngine:
    """Loads the model; blocks for tens of seconds. Never load two engines at the same time: each
    counts all new vLLM processes as its own.

    `adapt` changes the final configuration. Logs a warning if the context is lowered to what the
    model (`own_max_len`) or the cache holds. Raises `StartError` if the context is then below the
    minimum of `kind`, or if the model cannot be loaded.
    """
    others = find_processes()
    try:
        config = args.create_engine_config()
        adapt(config)
        if options.is_one_process:
            use_one_process(config)
        with ctrl_c_blocked(), _copied_process() if options.is_one_process else nullcontext():
            engine = AsyncLLMEngine.from_vllm_config(config, disable_log_stats=True)
    except (ValueError, RuntimeError, OSError) as error:
        kill_processes(find_processes() - others)
        raise StartError(f"vLLM cannot load {options.folder}: {error}") from error
    processes = find_processes() - others
    fitted = engine.vllm_config.model_config.max_model_len
    if fitted < kind.min_model_len:
        shut_down(engine, processes)
        raise StartError(
            f"the key-value cache holds only {fitted} tokens, but at least {kind.min_model_len} "
            f"are needed: free memory, or raise {kind.share_setting}"
        )
    if fitted < options.max_model_len:
        logger.warning(
            "context of the %s lowered from %d to %d tokens: the %s holds no more",
            kind.label,
            options.max_model_len,
            fitted,
            "model" if fitted == own_max_len else "key-value cache",
        )
    return VllmEngine(engine, kind, processes)

"""The engine for machines without vLLM: a Llama of transformers behind `TokenEngine`."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.concurrency import num_cores
from orpheus_server.engine.context_length import MIN_MODEL_LEN, own_max_len
from orpheus_server.engine.cpu_threads import num_engine_threads
from orpheus_server.engine.request_check import OneLoop, check_request
from orpheus_server.engine.row_attention import RowCache
from orpheus_server.engine.transformers_batch import RunningBatch
from orpheus_server.engine.transformers_loader import LoadedModel, load_model
from orpheus_server.engine.transformers_worker import BatchWorker, Generation
from orpheus_server.errors import EngineNotReady, StartError
from orpheus_server.interfaces import DtypeName, TokenDelta, TokenEngine, TokenRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TransformersOptions:
    """Options of the engine; `folder` holds the weights.

    `device_map` is a device, or one of transformers' names for all of them; None finds the best.
    """

    folder: Path
    dtype: DtypeName
    max_model_len: int
    max_num_seqs: int
    device_map: str | None = None


class TransformersEngine:
    """A model of transformers in this process, and the thread that computes its batch.

    `cache_tokens` is the number of positions that the key-value cache may hold.
    """

    def __init__(
        self,
        worker: BatchWorker,
        *,
        ids_per_delta: int,
        vocab_size: int,
        max_model_len: int,
        cache_tokens: int,
    ) -> None:
        self._worker = worker
        self._ids_per_delta = ids_per_delta
        self._vocab_size = vocab_size
        self._max_model_len = max_model_len
        self._cache_tokens = cache_tokens
        self._one_loop = OneLoop()
        self._is_closed = False
        self._num_active = 0
        self._num_cached_tokens = 0

    @property
    def max_model_len(self) -> int:
        """Maximum tokens of prompt and output together, after fitting them to the cache."""
        return self._max_model_len

    @property
    def num_active(self) -> int:
        """Generations that have started and have not ended."""
        return self._num_active

    @property
    def kv_cache_share(self) -> float:
        """Share of the key-value cache in use, from 0 to 1."""
        return min(1.0, self._num_cached_tokens / self._cache_tokens)

    @property
    def is_alive(self) -> bool:
        """False once the thread has ended or the engine is closed."""
        return self._worker.is_alive

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields the first new id immediately, then deltas of one frame."""
        loop = self._one_loop.check()
        check_request(request, vocab_size=self._vocab_size, max_model_len=self._max_model_len)
        if self._is_closed:
            raise EngineNotReady("the engine is closed")
        generation = Generation(request, self._ids_per_delta, loop)
        self._num_active += 1
        num_tokens = len(request.prompt_token_ids)
        self._num_cached_tokens += num_tokens
        try:
            self._worker.submit(generation)
            while True:
                delta = await generation.get()
                num_tokens += len(delta.token_ids)
                self._num_cached_tokens += len(delta.token_ids)
                yield delta
                if delta.finish_reason is not None:
                    return
        finally:
            self._worker.cancel(generation)
            self._num_active -= 1
            self._num_cached_tokens -= num_tokens

    def kill(self) -> None:
        """Ends its generations with `EngineDead`, and its thread after the present step."""
        self._worker.stop("the speech engine was killed")

    async def close(self) -> None:
        """Ends the thread and frees the model."""
        self._is_closed = True
        await asyncio.to_thread(self._worker.stop, "the speech engine is closed")


def build_transformers_engine(checkpoint: Checkpoint, options: TransformersOptions) -> TokenEngine:
    """Loads the model; blocking. Raises `StartError`."""
    own_len = own_max_len(options.folder)
    loaded = load_model(options.folder, options.dtype, options.device_map)
    _check_vocabulary(checkpoint, loaded, options.folder)
    max_len = min(options.max_model_len, own_len, loaded.max_cached_tokens)
    if max_len < MIN_MODEL_LEN:
        raise StartError(
            f"the context is only {max_len} tokens, but at least {MIN_MODEL_LEN} are needed: free "
            "memory for the key-value cache, or choose a model with a longer context"
        )
    if max_len < options.max_model_len:
        logger.warning(
            "context of the speech engine lowered from %d to %d tokens: the %s holds no more",
            options.max_model_len,
            max_len,
            "model" if max_len == own_len else "key-value cache",
        )
    batch = RunningBatch(
        model=loaded.model,
        layout=checkpoint.layout,
        vocab_size=loaded.vocab_size,
        device=loaded.device,
        dtype=loaded.dtype,
        cache=RowCache(loaded.max_cached_tokens),
        max_num_rows=options.max_num_seqs,
    )
    is_cpu = loaded.device.type == "cpu"
    worker = BatchWorker(batch, num_threads=num_engine_threads(num_cores()) if is_cpu else None)
    return TransformersEngine(
        worker,
        ids_per_delta=checkpoint.layout.num_slots,
        vocab_size=loaded.vocab_size,
        max_model_len=max_len,
        cache_tokens=min(loaded.max_cached_tokens, options.max_num_seqs * max_len),
    )


def _check_vocabulary(checkpoint: Checkpoint, loaded: LoadedModel, folder: Path) -> None:
    """Raises `StartError` if the checkpoint's ids are not all in the vocabulary."""
    layout = checkpoint.layout
    largest = max(layout.audio_token_end - 1, *layout.stop_token_ids)
    if largest >= loaded.vocab_size:
        raise StartError(
            f"{folder} has a vocabulary of {loaded.vocab_size} ids, but {checkpoint.name} uses ids "
            f"up to {largest}: the weights are of another model."
        )

"""vLLM's `AsyncLLMEngine` behind the `TokenEngine` protocol."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import psutil
from vllm import SamplingParams, TokensPrompt
from vllm.engine.async_llm_engine import AsyncLLMEngine
from vllm.exceptions import VLLMClientError, VLLMServerError
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError

from orpheus_server.engine.processes import kill_processes
from orpheus_server.engine.request_check import OneLoop, check_request
from orpheus_server.errors import EngineDead, EngineNotReady, GenerationFailed
from orpheus_server.interfaces import FinishReason, TokenDelta, TokenRequest

SMALLEST_TOP_P = 1e-6
"""vLLM rejects 0; this keeps only the likeliest token, which is what 0 means."""

SHUTDOWN_SEC = 10.0
"""A core and its workers need 4 s to exit on two slow CPUs; after this they are killed."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """How an engine generates: up to one of `stop_token_ids`, `stream_interval` tokens per delta.

    `label` is its name in messages. It needs a context of `min_model_len` tokens; `share_setting`
    names the setting to raise if the cache holds fewer.
    """

    label: str
    stop_token_ids: tuple[int, ...]
    stream_interval: int
    min_model_len: int
    share_setting: str


class VllmEngine:
    """One vLLM engine, whose core and workers run in their own processes."""

    def __init__(
        self,
        engine: AsyncLLMEngine,
        kind: EngineKind,
        processes: frozenset[psutil.Process] = frozenset(),
    ) -> None:
        self._engine: AsyncLLMEngine | None = engine
        self._processes = processes
        self._kind = kind
        model_config = engine.vllm_config.model_config
        self._vocab_size = model_config.get_vocab_size()
        self._max_model_len: int = model_config.max_model_len
        self._one_loop = OneLoop()
        self._num_active = 0
        self._num_cached_tokens = 0
        cache = engine.vllm_config.cache_config
        self._cache_tokens: int = (cache.num_gpu_blocks or 0) * cache.block_size

    @property
    def max_model_len(self) -> int:
        """Maximum tokens of prompt and output together, after fitting them to the cache."""
        return self._max_model_len

    @property
    def num_active(self) -> int:
        """Counted here because vLLM's own count stays up after its core has died."""
        return self._num_active

    @property
    def process_ids(self) -> frozenset[int]:
        """The ids of the core and its workers."""
        return frozenset(process.pid for process in self._processes)

    @property
    def kv_cache_share(self) -> float:
        """Counted here because vLLM's own figure needs statistics that double the cost of a token.

        Prompts that share a cached prefix each count in full, up to a full cache.
        """
        if not self._cache_tokens:
            return 0.0
        return min(1.0, self._num_cached_tokens / self._cache_tokens)

    @property
    def is_alive(self) -> bool:
        """False once the engine core has died or the engine is closed."""
        return self._engine is not None and not self._engine.errored

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields the first new id immediately, then deltas of the kind's `stream_interval` ids."""
        self._one_loop.check()
        check_request(request, vocab_size=self._vocab_size, max_model_len=self._max_model_len)
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
            # A request may still speak what came before, and its error must not hold the engine's
            # threads and sockets in the frames of vLLM until then.
            raise EngineDead(f"the {self._kind.label} has died") from error.with_traceback(None)
        except (VLLMClientError, VLLMServerError) as error:
            raise GenerationFailed(f"the engine failed on the request: {error}") from error
        finally:
            self._num_active -= 1
            self._num_cached_tokens -= num_tokens

    def kill(self) -> None:
        """Kills its processes, even stopped ones; its generations raise `EngineDead`."""
        kill_processes(self._processes)

    async def close(self) -> None:
        """Shuts down the engine core, and kills it after `SHUTDOWN_SEC`."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        if engine.output_handler is not None:
            # It would log the end of its core as a crash.
            engine.output_handler.cancel()
        await asyncio.to_thread(shut_down, engine, self._processes)

    def _sampling_params(self, request: TokenRequest) -> SamplingParams:
        sampling = request.sampling
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=max(sampling.top_p, SMALLEST_TOP_P),
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            max_tokens=request.max_tokens,
            seed=request.seed,
            stop_token_ids=list(self._kind.stop_token_ids),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            stream_interval=self._kind.stream_interval,
        )


def shut_down(engine: AsyncLLMEngine, processes: frozenset[psutil.Process]) -> None:
    """Shuts down an engine; blocking. Kills the workers that vLLM leaves behind for a slow core."""
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

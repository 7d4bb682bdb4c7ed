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
from orpheus_server.errors import EngineDead, EngineNotReady, GenerationFailed
from orpheus_server.interfaces import FinishReason, TokenDelta, TokenRequest

SMALLEST_TOP_P = 1e-6
"""vLLM refuses 0; this keeps the likeliest token only, which is what 0 means."""

SHUTDOWN_SEC = 10.0
"""A core and its workers take 4 s on two slow processors; one that takes longer is stopped."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """What an engine writes: `stop_token_ids` end it, a delta has `stream_interval` tokens.

    `label` is its name in messages. Below `min_model_len` tokens of context it is of no use, and
    `share_setting` is what to raise then.
    """

    label: str
    stop_token_ids: tuple[int, ...]
    stream_interval: int
    min_model_len: int
    share_setting: str


class VllmEngine:
    """One engine in this process; its core runs in processes of its own."""

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
        """Counted here: vLLM's own figure comes with statistics that double the cost of a token.

        Prompts that share their beginning count as if they did not, up to a full cache.
        """
        if not self._cache_tokens:
            return 0.0
        return min(1.0, self._num_cached_tokens / self._cache_tokens)

    @property
    def is_alive(self) -> bool:
        """False once the engine core has died."""
        return self._engine is not None and not self._engine.errored

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Deltas of new ids, the first at once, the others as often as the kind says."""
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
            raise EngineDead(f"the {self._kind.label} has died") from error
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
        await asyncio.to_thread(shut_down, engine, self._processes)

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
    """Ends an engine and its processes; blocking. vLLM itself leaves the workers of a slow core."""
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

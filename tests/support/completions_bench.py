"""The engine of completions over scripted servers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from orpheus_server.engine.completions_engine import (
    CompletionsEngine,
    CompletionsOptions,
    build_completions_engine,
)
from orpheus_server.interfaces import SamplingOptions, TokenDelta, TokenRequest
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from tests.support.app import POCKET, other_tasks, speech_ids, wait_for
from tests.support.completion_stub import STOP_ID, CompletionStub, plays

PROMPT = (1, 5, 19, 63, 23, 55, 9, 2, 3)
SPEECH = (*speech_ids(3), STOP_ID)

REQUEST = TokenRequest(
    request_id="r",
    prompt_token_ids=PROMPT,
    sampling=SamplingOptions(
        temperature=0.6, top_p=0.9, repetition_penalty=1.1, top_k=30, min_p=0.02
    ),
    max_tokens=100,
    seed=2**40 + 5,
)


def options(*urls: str, **changes: Any) -> CompletionsOptions:
    """Options without regular health checks, which tests ask for."""
    base = CompletionsOptions(
        urls=urls,
        api_key=None,
        folder=POCKET_FOLDER,
        max_model_len=2048,
        token_limit_sec=30.0,
        health_interval_sec=None,
    )
    return replace(base, **changes)


def speaking(dialect: str = "llama-server", **changes: Any) -> CompletionStub:
    """A server that always answers with `SPEECH`."""
    return CompletionStub(plays(SPEECH), dialect=dialect, **changes)


async def build(*urls: str, **changes: Any) -> CompletionsEngine:
    """Builds the engine in a thread, as the server does."""
    return await asyncio.to_thread(build_completions_engine, POCKET, options(*urls, **changes))


@asynccontextmanager
async def open_engine(
    *stubs: CompletionStub, urls: Sequence[str] = (), **changes: Any
) -> AsyncIterator[CompletionsEngine]:
    """Opens an engine over running stubs and further `urls`; asserts that nothing is left."""
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(stub.serve()) for stub in stubs]
        before = other_tasks()
        engine = await build(*(each.url for each in served), *urls, **changes)
        try:
            yield engine
            assert engine.num_active == 0
        finally:
            await engine.close()
        await wait_for(lambda: other_tasks() <= before)


async def generate(engine: CompletionsEngine, request: TokenRequest = REQUEST) -> list[TokenDelta]:
    """Returns all deltas of a request."""
    return [delta async for delta in engine.generate(request)]


def ids_of(deltas: Sequence[TokenDelta]) -> tuple[int, ...]:
    """Returns the ids of all deltas; asserts that exactly the last one has a finish reason."""
    assert [delta.finish_reason is not None for delta in deltas[:-1]] == [False] * (len(deltas) - 1)
    assert deltas[-1].finish_reason is not None
    return tuple(token_id for delta in deltas for token_id in delta.token_ids)


@dataclass
class Reading:
    """A generation that a test reads step by step."""

    task: asyncio.Task[list[TokenDelta]]
    deltas: list[TokenDelta]

    @classmethod
    def of(cls, engine: CompletionsEngine, request: TokenRequest = REQUEST) -> "Reading":
        """Starts to read."""
        deltas: list[TokenDelta] = []

        async def read() -> list[TokenDelta]:
            async for delta in engine.generate(request):
                deltas.append(delta)
            return deltas

        return cls(asyncio.create_task(read()), deltas)

    async def cancel(self) -> None:
        """Cancels it, as a caller that leaves."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

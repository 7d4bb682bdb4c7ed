"""Builds the language model; the only module that names its adapters.

Heavy libraries are imported inside a function that runs in a thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from orpheus_server.chat.echo import EchoModel
from orpheus_server.chat.local.config import MIN_MODEL_LEN, read_chat_config
from orpheus_server.chat.model_card import describe_model
from orpheus_server.chat.selection import ChatModelConfig
from orpheus_server.checkpoints.download import Download
from orpheus_server.checkpoints.weights import CHAT_FILES, CHAT_GATE_HINT, find_files, weigh
from orpheus_server.concurrency import WorkerPool
from orpheus_server.engine.group import EngineGroup
from orpheus_server.engine.supervisor import LANGUAGE_MODEL, EngineSupervisor
from orpheus_server.errors import StartError
from orpheus_server.interfaces import (
    ChatMessage,
    ChatModel,
    ChatModelInfo,
    DtypeName,
    ReplyOptions,
    ReplyRequest,
    SamplingOptions,
    TokenEngine,
    TokenRequest,
)
from orpheus_server.settings import Settings

if TYPE_CHECKING:
    from orpheus_server.chat.local.tokenizer import ChatTokenizer
    from orpheus_server.chat.remote.model import RemoteChatModel

logger = logging.getLogger(__name__)

MAX_NUM_SEQS, CUDA_MAX_NUM_SEQS = 8, 64
"""Replies generated at the same time; further ones wait in the engine."""

ACTIVE_PER_SEQ = 4
"""Replies that may run or wait, for each of those; requests beyond that are rejected."""

NUM_WORKERS = 2
"""Threads for prompts: separate from the voice's threads, because decoding audio must not wait for
a long conversation."""

WARM_UP_LIMIT_SEC = 300
"""The first reply compiles kernels on CUDA, and the supervisor does not watch the engine yet."""

WARM_UP_TOKENS = 8
MAX_PROBE_TOKENS = 256

DTYPE: DtypeName = "bfloat16"

_HELLO = ChatMessage("user", "Hello.")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A language model without its weights, and the function that builds an engine for them."""

    tokenizer: "ChatTokenizer"
    sampling: SamplingOptions
    info: ChatModelInfo
    max_num_seqs: int
    build_engine: Callable[[], TokenEngine]


async def _open_local_model(
    config: ChatModelConfig,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    is_cuda: bool,
    group: EngineGroup,
    on_give_up: Callable[[], None],
    download: Download | None,
) -> ChatModel:
    """Loads the model and warms it up; the stack closes it. Raises `StartError`."""
    from orpheus_server.chat.local.model import LocalChatModel

    started = time.monotonic()
    loaded = await asyncio.to_thread(_load, config, settings, is_cuda=is_cuda, download=download)
    pool = WorkerPool(NUM_WORKERS)
    stack.push_async_callback(pool.close)
    build = group.alone(loaded.build_engine)
    numbers = count()

    async def probe() -> TokenRequest:
        return TokenRequest(
            request_id=f"chat-probe-{next(numbers)}",
            prompt_token_ids=await pool.run(
                loaded.tokenizer.prompt_ids, (_HELLO,), available_tokens=MAX_PROBE_TOKENS
            ),
            sampling=loaded.sampling,
            max_tokens=1,
            seed=1,
        )

    supervisor = EngineSupervisor(
        await asyncio.to_thread(build),
        build,
        probe=probe,
        # A long prompt may take as long as the timeout of a chat request.
        stall_sec=max(settings.tts_engine_stall_sec, settings.llm_timeout_sec),
        max_restarts=settings.tts_max_restarts,
        on_give_up=on_give_up,
        may_restart=lambda: group.may_restart,
        label=LANGUAGE_MODEL,
    )
    group.language_model = supervisor
    model = LocalChatModel(
        loaded.info,
        supervisor,
        loaded.tokenizer,
        pool,
        sampling=loaded.sampling,
        max_active=ACTIVE_PER_SEQ * loaded.max_num_seqs,
    )
    stack.push_async_callback(model.close)
    await _warm_up(model)
    # Only now: the first reply may compile for longer than the supervisor lets an engine stall.
    supervisor.open()
    logger.info(
        "language model %s (%s), engine vLLM, device %s, %s, context %d tokens, after %.1f s",
        loaded.info.name,
        loaded.info.parameters,
        "CUDA" if is_cuda else "CPU",
        DTYPE,
        supervisor.max_model_len,
        time.monotonic() - started,
    )
    return model


def _load(
    config: ChatModelConfig, settings: Settings, *, is_cuda: bool, download: Download | None
) -> _Loaded:
    """Does all blocking work except building the engine, which must not overlap another build.

    Raises `StartError`.
    """
    # Imported here because they take seconds, and the port must answer meanwhile.
    from orpheus_server.chat.local.tokenizer import load_chat_tokenizer
    from orpheus_server.engine.chat_engine import build_chat_engine
    from orpheus_server.engine.vllm_loader import VllmOptions

    folder = find_files(
        config.source,
        patterns=CHAT_FILES,
        token=settings.hub_token,
        gate_hint=CHAT_GATE_HINT,
        download=download,
    )
    model_config = read_chat_config(folder)
    tokenizer = load_chat_tokenizer(
        folder, source=config.source, stop_token_ids=model_config.stop_token_ids
    )
    max_num_seqs = CUDA_MAX_NUM_SEQS if is_cuda else MAX_NUM_SEQS
    options = VllmOptions(
        folder=folder,
        is_cuda=is_cuda,
        dtype=DTYPE,
        max_model_len=settings.llm_max_model_len,
        max_num_seqs=max_num_seqs,
        gpu_memory_utilization=settings.llm_gpu_memory_utilization,
        # On a CPU compiling takes longer than the first minutes of a chat are worth.
        is_eager=not is_cuda,
    )
    return _Loaded(
        tokenizer,
        model_config.sampling,
        describe_model(config.info, folder, num_parameters=weigh(folder).num_parameters),
        max_num_seqs,
        partial(
            build_chat_engine,
            tokenizer.stop_token_ids,
            options,
            own_max_len=model_config.max_model_len or settings.llm_max_model_len,
            min_model_len=MIN_MODEL_LEN,
        ),
    )


async def _warm_up(model: ChatModel) -> None:
    """Generates a few words, so that the first caller does not wait longer than the second."""
    options = ReplyOptions(max_tokens=WARM_UP_TOKENS, seed=1)
    try:
        async with (
            asyncio.timeout(WARM_UP_LIMIT_SEC),
            aclosing(model.reply(ReplyRequest("chat-warm-up", (_HELLO,), options))) as deltas,
        ):
            async for _ in deltas:
                pass
    except TimeoutError:
        raise StartError(
            f"the language model did not answer within {WARM_UP_LIMIT_SEC} s after it was loaded"
        ) from None


async def open_chat_model(
    config: ChatModelConfig,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    is_cuda: bool,
    group: EngineGroup,
    on_give_up: Callable[[], None],
    download: Download | None = None,
) -> ChatModel:
    """Loads the configured model off the event loop; the stack closes it. Raises `StartError`.

    A local model's engine joins `group`; `on_give_up` is called if that engine dies too often. The
    progress of files that are not on this machine is in `download`.
    """
    if config.backend == "echo":
        return EchoModel()
    if config.backend == "remote":
        remote = await asyncio.to_thread(_build_remote, config, settings)
        stack.push_async_callback(remote.close)
        await remote.look()
        return remote
    return await _open_local_model(
        config,
        settings,
        stack,
        is_cuda=is_cuda,
        group=group,
        on_give_up=on_give_up,
        download=download,
    )


def _build_remote(config: ChatModelConfig, settings: Settings) -> "RemoteChatModel":
    # Not at the top: the SDK takes a second to import, and only this function needs it.
    from orpheus_server.chat.remote.model import RemoteChatModel

    return RemoteChatModel(config.info, settings)

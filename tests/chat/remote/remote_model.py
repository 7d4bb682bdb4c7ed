"""A remote model over the stub server."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orpheus_server.chat.remote.model import RemoteChatModel
from orpheus_server.chat.selection import resolve_chat_config
from orpheus_server.errors import OrpheusError
from orpheus_server.interfaces import ChatMessage, ReplyDelta, ReplyOptions, ReplyRequest
from orpheus_server.settings import Settings
from tests.support.app import other_tasks, wait_for
from tests.support.stub_llm import Responder, StubLlm

KEY = "sk-very-secret-0123456789"
PROMPT = "A private question"
SHORT_SEC = 0.05


def settings_for(url: str, **changes: object) -> Settings:
    fields: dict[str, object] = {"llm_base_url": url, "llm_model_name": "m", **changes}
    return Settings.model_validate(fields)


@asynccontextmanager
async def open_model(
    url: str,
    *,
    connect_timeout_sec: float = 5.0,
    look_timeout_sec: float = 5.0,
    tail_sec: float = 5.0,
    **changes: object,
) -> AsyncIterator[RemoteChatModel]:
    settings = settings_for(url, **changes)
    config = resolve_chat_config(settings, runs_gemma=False)
    assert config is not None
    model = RemoteChatModel(
        config.info,
        settings,
        connect_timeout_sec=connect_timeout_sec,
        look_timeout_sec=look_timeout_sec,
        tail_sec=tail_sec,
    )
    before = other_tasks()
    try:
        yield model
    finally:
        assert model.num_active == 0
        await model.close()
    await wait_for(lambda: other_tasks() <= before)


def asks(*contents: str, system: str | None = None, **options: object) -> ReplyRequest:
    """Returns alternating turns of user and assistant."""
    turns = [
        ChatMessage("assistant" if index % 2 else "user", content)
        for index, content in enumerate(contents or (PROMPT,))
    ]
    if system is not None:
        turns.insert(0, ChatMessage("system", system))
    return ReplyRequest("req-1", tuple(turns), ReplyOptions(**options))  # type: ignore[arg-type]


async def take(model: RemoteChatModel, request: ReplyRequest | None = None) -> list[ReplyDelta]:
    return [delta async for delta in model.reply(request or asks())]


async def answer(responder: Responder, stub: StubLlm, **changes: object) -> list[ReplyDelta]:
    """Collects an answer."""
    stub.responders.append(responder)
    async with open_model(stub.url, **changes) as model:  # type: ignore[arg-type]
        return await take(model)


async def failure(responder: Responder, stub: StubLlm, **changes: object) -> OrpheusError:
    with pytest.raises(OrpheusError) as caught:
        await answer(responder, stub, **changes)
    return caught.value


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

"""A language model and a voice: two real engines in one process, on one event loop."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from orpheus_server.chat.local.model import LocalChatModel
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import EngineDead
from orpheus_server.interfaces import (
    ChatMessage,
    ReplyDelta,
    ReplyOptions,
    ReplyRequest,
    TokenRequest,
)
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from tests.support.live import LiveServer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # vLLM's imports raise deprecation warnings
]

T = TypeVar("T")
POCKET = load_speech_json(POCKET_FOLDER)
RESTART_LIMIT_SEC = 240.0


class Pair:
    """The language model and the voice of the shared server, used on the server's event loop."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self.voice = server.engine
        chat = server.runtime.get_chat_model()
        assert isinstance(chat, LocalChatModel)
        assert isinstance(chat.engine, EngineSupervisor)
        self.chat, self.supervisor = chat, chat.engine

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._server.run(work, limit_sec=RESTART_LIMIT_SEC)

    async def ask(self, text: str, **options: Any) -> list[ReplyDelta]:
        """Returns all deltas of an answer of at most 60 tokens."""
        reply_options = ReplyOptions(**({"max_tokens": 60} | options))
        messages = (ChatMessage("system", "Be kind."), ChatMessage("user", text))
        return [
            delta
            async for delta in self.chat.reply(
                ReplyRequest(f"reply-{text}", messages, reply_options)
            )
        ]

    async def speak(self, number: int) -> tuple[int, ...]:
        """Returns the token ids of eight frames."""
        request = TokenRequest(
            f"speech-{number}", (1, 5, 19, 63, 23, 55, 9, 2, 3), POCKET.sampling, 56, number
        )
        ids: list[int] = []
        async for delta in self.voice.generate(request):
            ids += delta.token_ids
        return tuple(ids)


@pytest.fixture
def pair(server: LiveServer) -> Pair:
    return Pair(server)


def processes_of(supervisor: EngineSupervisor) -> frozenset[int]:
    from orpheus_server.engine.vllm_engine import VllmEngine

    engine = supervisor._lifetime.engine
    assert isinstance(engine, VllmEngine)
    return engine.process_ids


def text_of(deltas: list[ReplyDelta]) -> str:
    return "".join(delta.text for delta in deltas)


def test_both_generate_at_the_same_time(pair: Pair) -> None:
    async def work() -> None:
        alone = text_of(await pair.ask("alone", seed=1, temperature=0.0))
        replies = [pair.ask(f"the {n}") for n in range(4)]
        speech = [pair.speak(n) for n in range(4)]
        answers, frames = await asyncio.gather(asyncio.gather(*replies), asyncio.gather(*speech))
        assert len({text_of(deltas) for deltas in answers}) == 4
        for ids in frames:
            codes = [token_id - POCKET.layout.audio_token_base for token_id in ids[:7]]
            assert [code // POCKET.layout.codebook_size for code in codes] == list(range(7))
        assert len(alone.split()) > 3
        assert pair.chat.num_active == pair.supervisor.num_active == pair.voice.num_active == 0

    pair.run(work())


def test_fifty_answers_in_a_row_and_eight_at_the_same_time(pair: Pair) -> None:
    """In an earlier server the second request hung forever."""

    async def work() -> None:
        for n in range(50):
            deltas = await pair.ask(f"row {n}", max_tokens=8)
            assert deltas[-1].finish_reason in ("stop", "length")
            assert 1 <= sum(delta.num_tokens for delta in deltas) <= 8
        answers = await asyncio.gather(*(pair.ask(f"at once {n}") for n in range(8)))
        assert all(deltas[-1].finish_reason is not None for deltas in answers)
        assert len({text_of(deltas) for deltas in answers}) == 8

    pair.run(work())


def test_sampling_follows_the_request(pair: Pair) -> None:
    async def work() -> None:
        same = [text_of(await pair.ask("same", seed=7)) for _ in range(2)]
        assert same[0] == same[1]
        assert text_of(await pair.ask("same", seed=8)) != same[0]
        (first, *_) = await pair.ask("same", seed=7)
        assert first.num_prompt_tokens is not None
        long = await pair.ask("long", max_tokens=5000)
        assert sum(delta.num_tokens for delta in long) <= 1024 - (long[0].num_prompt_tokens or 0)
        penalised = text_of(await pair.ask("same", seed=7, presence_penalty=2.0, max_tokens=200))
        assert penalised

    pair.run(work())


def test_closed_answers_are_aborted(pair: Pair) -> None:
    async def work() -> None:
        messages = (ChatMessage("user", "the street"),)
        for n in range(8):
            options = ReplyOptions(max_tokens=900)
            deltas = pair.chat.reply(ReplyRequest(f"closed-{n}", messages, options))
            await anext(deltas)
            assert pair.supervisor.num_active == 1
            await deltas.aclose()
            assert pair.chat.num_active == pair.supervisor.num_active == 0
        assert pair.supervisor.kv_cache_share == 0.0
        assert (await pair.ask("after"))[-1].finish_reason is not None

    pair.run(work())


@pytest.mark.slow
def test_a_killed_core_is_replaced_while_the_voice_keeps_running(pair: Pair) -> None:
    """Runs last, because it kills the engine that the other tests use."""

    async def work() -> None:
        before = await pair.speak(3)
        voice_ids, chat_ids = processes_of(pair.voice), processes_of(pair.supervisor)
        assert voice_ids
        assert chat_ids
        assert voice_ids.isdisjoint(chat_ids)
        messages = (ChatMessage("user", "the street"),)
        deltas = pair.chat.reply(ReplyRequest("killed", messages, ReplyOptions(max_tokens=900)))
        await anext(deltas)
        for process_id in chat_ids:
            os.kill(process_id, signal.SIGKILL)
        with pytest.raises(EngineDead, match="language model"):
            async for _ in deltas:
                pass
        assert not pair.chat.is_alive
        assert pair.chat.num_active == 0
        while not pair.chat.is_alive:
            # The voice keeps generating while the language model loads.
            assert await pair.speak(3) == before
            await asyncio.sleep(0.2)
        assert (pair.supervisor.num_restarts, pair.supervisor.state) == (1, "serving")
        assert (processes_of(pair.voice), pair.voice.num_restarts) == (voice_ids, 0)
        assert processes_of(pair.supervisor).isdisjoint(voice_ids | chat_ids)
        assert (await pair.ask("again"))[-1].finish_reason is not None

    pair.run(work())

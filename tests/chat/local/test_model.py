"""A language model in this process over a scripted engine."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from orpheus_server.chat.local.model import DEFAULT_ANSWER_TOKENS, LocalChatModel
from orpheus_server.chat.local.tokenizer import ChatTokenizer, load_chat_tokenizer
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import (
    ChatModelFailed,
    EngineDead,
    GenerationFailed,
    Overloaded,
    RequestError,
)
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.interfaces import (
    ChatMessage,
    ChatModelInfo,
    ReplyDelta,
    ReplyOptions,
    ReplyRequest,
    SamplingOptions,
)
from tests.support.app import wait_for
from tests.support.tiny_gemma import END_ID

pytestmark = pytest.mark.anyio

INFO = ChatModelInfo("tiny", "orpheus-server")
SAMPLING = SamplingOptions(temperature=0.9, top_p=0.8, repetition_penalty=1.1, top_k=50)
CONTEXT = 2048
HELLO = (ChatMessage("user", "Hello."),)


@dataclass(frozen=True)
class Chat:
    model: LocalChatModel
    engine: ScriptedEngine
    tokenizer: ChatTokenizer

    def script(self, text: str) -> Script:
        return Script((*self.tokenizer.encode(text), END_ID))

    async def ask(
        self, messages: tuple[ChatMessage, ...] = HELLO, **options: object
    ) -> list[ReplyDelta]:
        requested = ReplyRequest("r", messages, ReplyOptions(**options))  # type: ignore[arg-type]
        return [delta async for delta in self.model.reply(requested)]


@asynccontextmanager
async def open_chat(
    folder: Path, *, max_active: int = 4, delta_size: int = 1
) -> AsyncIterator[Chat]:
    tokenizer = load_chat_tokenizer(folder, source="tiny")
    script = Script((*tokenizer.encode(" the morning walk."), END_ID))
    engine = ScriptedEngine(lambda request: script, max_model_len=CONTEXT, delta_size=delta_size)
    pool = WorkerPool(1)
    model = LocalChatModel(INFO, engine, tokenizer, pool, sampling=SAMPLING, max_active=max_active)
    yield Chat(model, engine, tokenizer)
    await pool.close()


@pytest.fixture
async def chat(tiny_gemma: Path) -> AsyncIterator[Chat]:
    async with open_chat(tiny_gemma) as chat:
        yield chat


async def test_an_answer(chat: Chat) -> None:
    deltas = await chat.ask()
    num_prompt_tokens = len(chat.tokenizer.prompt_ids(HELLO, available_tokens=CONTEXT))
    assert deltas == [
        *(
            ReplyDelta(text, 1, None, num_prompt_tokens)
            for text in (" the", " morning", " walk", ".")
        ),
        ReplyDelta("", 1, "stop", num_prompt_tokens),
    ]
    assert (chat.model.num_active, chat.engine.num_active, chat.engine.num_aborted) == (0, 0, 0)


async def test_the_request_to_the_engine(chat: Chat) -> None:
    await chat.ask(
        temperature=0.0, seed=5, max_tokens=100, presence_penalty=0.5, frequency_penalty=-0.5
    )
    (requested,) = chat.engine.requests
    assert requested.prompt_token_ids == chat.tokenizer.prompt_ids(HELLO, available_tokens=CONTEXT)
    assert requested.sampling == SamplingOptions(0.0, 0.8, 1.1, top_k=50)
    assert (requested.max_tokens, requested.seed) == (100, 5)
    assert (requested.presence_penalty, requested.frequency_penalty) == (0.5, -0.5)


@pytest.mark.parametrize(
    ("written", "said"),
    [("<think>\nso so</think>\n\nWell.", "Well."), ("<think>so", ""), (" <thin", " <thin")],
)
async def test_reasoning_is_not_part_of_the_answer(chat: Chat, written: str, said: str) -> None:
    """Unlike with a remote model, clients and the session's history received it."""
    chat.engine.enqueue(chat.script(written))
    deltas = await chat.ask()
    assert "".join(delta.text for delta in deltas) == said
    assert sum(delta.num_tokens for delta in deltas) == len(chat.tokenizer.encode(written)) + 1


@pytest.mark.parametrize(("max_tokens", "num_requested"), [(None, None), (10_000, None), (7, 7)])
async def test_the_length_of_an_answer(
    chat: Chat, max_tokens: int | None, num_requested: int | None
) -> None:
    """Without a limit, or with one beyond the context, it may use what the prompt leaves."""
    await chat.ask(max_tokens=max_tokens)
    (requested,) = chat.engine.requests
    assert requested.max_tokens == (num_requested or CONTEXT - len(requested.prompt_token_ids))


async def test_characters_of_several_tokens_stay_whole(tiny_gemma: Path) -> None:
    text = "x\u00e9\u4f60\u597d\U0001f600 the"
    for delta_size in (1, 2, 3):
        async with open_chat(tiny_gemma, delta_size=delta_size) as chat:
            chat.engine.enqueue(chat.script(text))
            deltas = await chat.ask()
        assert "".join(delta.text for delta in deltas) == text
        assert not any("\ufffd" in delta.text for delta in deltas)
        assert sum(delta.num_tokens for delta in deltas) == len(chat.tokenizer.encode(text)) + 1


async def test_nothing_is_lost_at_the_end(chat: Chat) -> None:
    """`max_tokens` ends the answer within a character: all text before it is returned."""
    chat.engine.enqueue(chat.script("a\u4f60\u597d"))
    deltas = await chat.ask(max_tokens=5)
    assert "".join(delta.text for delta in deltas) == "a\u4f60"
    assert deltas[-1].finish_reason == "length"


async def test_a_long_conversation_is_trimmed_in_a_thread(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop was blocked while ten thousand turns were tokenised."""
    threads = set()
    encode = chat.tokenizer.encode

    def watch(text: str) -> list[int]:
        threads.add(threading.current_thread())
        return encode(text)

    monkeypatch.setattr(chat.tokenizer, "encode", watch)
    turns = [
        ChatMessage("user" if n % 2 == 0 else "assistant", f"the morning {n}")
        for n in range(10_000)
    ]
    await chat.ask((ChatMessage("system", "Be kind."), *turns, ChatMessage("user", "the last")))
    (requested,) = chat.engine.requests
    text = chat.tokenizer.backend.decode(
        list(requested.prompt_token_ids), skip_special_tokens=False
    )
    assert text.startswith("<bos><start_of_turn>user\nBe kind.\n\nthe morning 9")
    assert text.endswith("the last<end_of_turn>\n<start_of_turn>model\n")
    available_tokens = CONTEXT - DEFAULT_ANSWER_TOKENS
    assert available_tokens - 50 < len(requested.prompt_token_ids) <= available_tokens
    assert len(threads) == 1
    assert threading.current_thread() not in threads


async def test_a_message_that_does_not_fit(chat: Chat) -> None:
    with pytest.raises(RequestError) as caught:
        await chat.ask((ChatMessage("user", "the " * 3000),))
    assert caught.value.code == "context_length_exceeded"
    assert (chat.model.num_active, chat.engine.requests) == (0, [])


async def test_too_many_answers_at_once(chat: Chat) -> None:
    gate = asyncio.Event()
    chat.engine.enqueue(*[Script((10, END_ID), gate=gate)] * 4)
    waiting = [asyncio.create_task(chat.ask()) for _ in range(4)]
    await wait_for(lambda: chat.engine.num_active == 4)
    assert chat.model.num_active == 4
    with pytest.raises(Overloaded) as caught:
        await chat.ask()
    assert caught.value.retry_after_sec == 5
    gate.set()
    await asyncio.gather(*waiting)
    await chat.ask()
    assert chat.model.num_active == 0


async def test_closing_stops_the_engine(chat: Chat) -> None:
    gate = asyncio.Event()
    chat.engine.enqueue(
        Script((*chat.tokenizer.encode(" the morning"), END_ID), gate=gate, gate_at=1)
    )
    deltas = chat.model.reply(ReplyRequest("r", HELLO, ReplyOptions()))
    assert (await anext(deltas)).text == " the"
    assert (chat.model.num_active, chat.engine.num_active) == (1, 1)
    await deltas.aclose()
    assert (chat.model.num_active, chat.engine.num_active, chat.engine.num_aborted) == (0, 0, 1)


async def test_failures(chat: Chat) -> None:
    """A failed answer is translated; the loss of the engine is raised unchanged."""
    chat.engine.enqueue(Script((10, 11), error=GenerationFailed("no"), fail_at=1))
    with pytest.raises(ChatModelFailed, match="The language model failed: no"):
        await chat.ask()
    assert chat.model.is_alive
    dead = EngineDead("The language model was lost.")
    chat.engine.enqueue(Script((10, 11), error=dead, fail_at=1))
    with pytest.raises(EngineDead) as caught:
        await chat.ask()
    assert caught.value is dead
    assert not chat.model.is_alive
    assert chat.model.num_active == 0


async def test_closing_it_closes_the_engine(chat: Chat) -> None:
    assert chat.model.is_alive
    await chat.model.close()
    assert not chat.engine.is_alive

"""The stand-in model that repeats the message."""

import asyncio
from contextlib import aclosing

import pytest

from orpheus_server.chat.echo import EchoModel
from orpheus_server.interfaces import ChatMessage, ReplyDelta, ReplyOptions, ReplyRequest

pytestmark = pytest.mark.anyio


def asks(content: str, *, max_tokens: int | None = None) -> ReplyRequest:
    messages = (ChatMessage("system", "Be short."), ChatMessage("user", content))
    return ReplyRequest("r", messages, ReplyOptions(max_tokens=max_tokens))


async def test_word_by_word() -> None:
    model = EchoModel()
    assert [delta async for delta in model.reply(asks(" Hello  there.\n"))] == [
        ReplyDelta(" Hello", 1, None, 5),
        ReplyDelta("  there.", 1, None, 5),
        ReplyDelta("\n", 1, None, 5),
        ReplyDelta("", 0, "stop", 5),
    ]
    assert model.num_active == 0


@pytest.mark.parametrize(
    ("max_tokens", "text", "reason"),
    [(1, "one", "length"), (2, "one two", "length"), (3, "one two three", "stop")],
)
async def test_max_tokens(max_tokens: int, text: str, reason: str) -> None:
    request = asks("one two three", max_tokens=max_tokens)
    deltas = [delta async for delta in EchoModel().reply(request)]
    assert "".join(delta.text for delta in deltas) == text
    assert sum(delta.num_tokens for delta in deltas) == max_tokens
    assert deltas[-1].finish_reason == reason


async def test_closing_the_generator_ends_the_answer() -> None:
    model = EchoModel()
    async with aclosing(model.reply(asks("one two"))) as deltas:
        assert (await anext(deltas)).text == "one"
        assert model.num_active == 1
    assert model.num_active == 0
    await model.close()


async def test_a_long_message_does_not_block_the_loop() -> None:
    """It was repeated in one step, and every other task waited for its last word."""
    others: list[int] = []
    model = EchoModel()
    taken = 0
    async with aclosing(model.reply(asks("word " * 10))) as deltas:
        async for _ in deltas:
            taken += 1
            asyncio.get_running_loop().call_soon(others.append, taken)
    assert len(others) >= taken - 2


def test_its_model_info() -> None:
    info = EchoModel().info
    assert (info.name, info.provider, info.license) == ("echo", "orpheus-server", "Apache-2.0")
    assert EchoModel().is_alive

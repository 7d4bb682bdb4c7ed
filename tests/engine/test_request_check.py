"""What engines refuse; each engine's own tests show that it asks."""

import asyncio

import pytest

from orpheus_server.engine.request_check import OneLoop, check_request
from orpheus_server.errors import GenerationFailed
from tests.support.engine_contract import request


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "message"),
    [
        ((0, 10), 1, "outside of the vocabulary"),
        ((-1,), 1, "outside of the vocabulary"),
        ((), 1, "the prompt is empty"),
        ((1,), 0, "max_tokens is less than 1"),
        ((1, 2), 4, "6 tokens do not fit into the context of 5"),
    ],
)
def test_what_the_model_cannot_take(prompt: tuple[int, ...], max_tokens: int, message: str) -> None:
    with pytest.raises(GenerationFailed, match=message):
        check_request(request(prompt, max_tokens=max_tokens), vocab_size=10, max_model_len=5)


def test_the_longest_request_is_accepted() -> None:
    check_request(request((0, 9), max_tokens=3), vocab_size=10, max_model_len=5)


def test_a_second_loop_is_refused() -> None:
    one_loop = OneLoop()

    async def check_twice() -> None:
        assert one_loop.check() is asyncio.get_running_loop()
        assert one_loop.check() is asyncio.get_running_loop()

    async def check() -> None:
        with pytest.raises(RuntimeError, match="second event loop"):
            one_loop.check()

    asyncio.run(check_twice())
    asyncio.run(check())

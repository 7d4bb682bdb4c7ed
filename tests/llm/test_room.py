"""How much of a conversation a language model is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage
from orpheus_server.llm.room import estimate_tokens, make_room


def user(content: str) -> ChatMessage:
    return ChatMessage("user", content)


@pytest.mark.parametrize(
    ("content", "num_tokens"),
    [("", 6), ("abc", 7), ("abcd", 8), ("안녕", 8), ("\U0001f600", 8), ("\ud83d", 7)],
)
def test_estimate(content: str, num_tokens: int) -> None:
    assert estimate_tokens(user(content)) == num_tokens


@pytest.mark.parametrize(
    ("max_model_len", "asked", "max_tokens"),
    [
        # 7 tokens are the message.
        (2048, None, 2041),
        (2048, 100, 100),
        (2048, 2041, 2041),
        (2048, 2042, 2041),
        (2048, 100_000, 2041),
        (1_048_576, None, 4096),
        (1_048_576, 100_000, 100_000),
        (512, None, 505),
    ],
)
def test_tokens_of_the_answer(max_model_len: int, asked: int | None, max_tokens: int) -> None:
    messages = (user("abc"),)
    found = make_room(messages, max_model_len=max_model_len, max_tokens=asked)
    assert found == (messages, max_tokens)


@pytest.mark.parametrize(
    ("asked", "num_kept"), [(None, 3), (512, 3), (100, 3), (824, 3), (825, 1), (5000, 1)]
)
def test_what_is_kept_free(asked: int | None, num_kept: int) -> None:
    """Three messages of 400 tokens in 2024: an answer of 824 fits beside them."""
    messages = (user("a" * 1182), ChatMessage("assistant", "b" * 1182), user("c" * 1182))
    kept, max_tokens = make_room(messages, max_model_len=2024, max_tokens=asked)
    assert kept == messages[-num_kept:]
    assert max_tokens == min(asked or 4096, 2024 - 400 * num_kept)


def test_at_most_half_is_kept_free() -> None:
    kept, max_tokens = make_room((user("a" * 3054),), max_model_len=2048, max_tokens=2000)
    assert (len(kept), max_tokens) == (1, 1024)
    with pytest.raises(RequestError, match="longer than the 1024 tokens") as caught:
        make_room((user("a" * 3055),), max_model_len=2048, max_tokens=2000)
    assert caught.value.code == "context_length_exceeded"


def test_ten_thousand_turns() -> None:
    """Only those that are kept are looked at."""
    roles = ("user", "assistant")
    messages = [ChatMessage(roles[index % 2], str(index)) for index in range(9_999)]  # type: ignore[arg-type]
    kept, max_tokens = make_room(messages, max_model_len=2048, max_tokens=None)
    assert len(kept) == 191
    assert kept == tuple(messages[-191:])
    assert max_tokens == 2048 - 191 * 8


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    st.integers(512, 4096),
    st.one_of(st.none(), st.integers(1, 5000)),
)
def test_it_fits(sizes: list[int], max_model_len: int, max_tokens: int | None) -> None:
    messages = [user("a" * size) for size in sizes]
    try:
        kept, limit = make_room(messages, max_model_len=max_model_len, max_tokens=max_tokens)
    except RequestError:
        assert estimate_tokens(messages[-1]) > max_model_len // 2
        return
    assert limit >= 1
    assert sum(map(estimate_tokens, kept)) + limit <= max_model_len
    assert kept[-1] == messages[-1]

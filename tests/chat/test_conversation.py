"""The order of a conversation, and how much of it fits into the context of a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.chat.conversation import (
    arrange,
    estimate_tokens,
    fit_to_context,
    fold_system,
    trim,
)
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage, Role


def user(content: str) -> ChatMessage:
    return ChatMessage("user", content)


@pytest.mark.parametrize(
    ("content", "num_tokens"),
    [("", 6), ("abc", 7), ("abcd", 8), ("안녕", 8), ("\U0001f600", 8), ("\ud83d", 7)],
)
def test_estimate(content: str, num_tokens: int) -> None:
    assert estimate_tokens(user(content)) == num_tokens


@pytest.mark.parametrize(
    ("max_model_len", "requested", "max_tokens"),
    [
        # The message has 7 tokens.
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
def test_token_limit_of_the_answer(
    max_model_len: int, requested: int | None, max_tokens: int
) -> None:
    messages = (user("abc"),)
    found = fit_to_context(messages, max_model_len=max_model_len, max_tokens=requested)
    assert found == (messages, max_tokens)


@pytest.mark.parametrize(
    ("requested", "num_kept"), [(None, 3), (512, 3), (100, 3), (824, 3), (825, 1), (5000, 1)]
)
def test_tokens_reserved_for_the_answer(requested: int | None, num_kept: int) -> None:
    """Three messages of 400 tokens in a context of 2024 leave 824 for the answer."""
    messages = (user("a" * 1182), ChatMessage("assistant", "b" * 1182), user("c" * 1182))
    kept, max_tokens = fit_to_context(messages, max_model_len=2024, max_tokens=requested)
    assert kept == messages[-num_kept:]
    assert max_tokens == min(requested or 4096, 2024 - 400 * num_kept)


def test_at_most_half_is_reserved() -> None:
    kept, max_tokens = fit_to_context((user("a" * 3054),), max_model_len=2048, max_tokens=2000)
    assert (len(kept), max_tokens) == (1, 1024)
    with pytest.raises(RequestError, match="longer than the 1024 tokens") as caught:
        fit_to_context((user("a" * 3055),), max_model_len=2048, max_tokens=2000)
    assert caught.value.code == "context_length_exceeded"


def test_ten_thousand_turns() -> None:
    """Only the messages that fit are tokenised."""
    roles = ("user", "assistant")
    messages = [ChatMessage(roles[index % 2], str(index)) for index in range(9_999)]  # type: ignore[arg-type]
    kept, max_tokens = fit_to_context(messages, max_model_len=2048, max_tokens=None)
    assert len(kept) == 191
    assert kept == tuple(messages[-191:])
    assert max_tokens == 2048 - 191 * 8


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    st.integers(512, 4096),
    st.one_of(st.none(), st.integers(1, 5000)),
)
def test_the_result_always_fits(
    sizes: list[int], max_model_len: int, max_tokens: int | None
) -> None:
    messages = [user("a" * size) for size in sizes]
    try:
        kept, limit = fit_to_context(messages, max_model_len=max_model_len, max_tokens=max_tokens)
    except RequestError:
        assert estimate_tokens(messages[-1]) > max_model_len // 2
        return
    assert limit >= 1
    assert sum(map(estimate_tokens, kept)) + limit <= max_model_len
    assert kept[-1] == messages[-1]


def said(*pairs: tuple[Role, str]) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage(role, content) for role, content in pairs)


class TestArrange:
    def test_the_default_comes_first(self) -> None:
        messages = said(("user", "Hi"))
        assert arrange(messages, default_system="Be short.") == said(
            ("system", "Be short."), ("user", "Hi")
        )
        assert arrange(messages, default_system=None) == messages
        assert arrange(messages, default_system="") == messages

    def test_system_messages_are_merged(self) -> None:
        messages = said(("system", "A"), ("user", "Hi"), ("system", " "), ("system", "B"))
        assert arrange(messages, default_system="Be short.") == said(
            ("system", "A\n\nB"), ("user", "Hi")
        )

    def test_turns_alternate(self) -> None:
        messages = said(
            ("user", "a"),
            ("assistant", ""),
            ("user", "b"),
            ("assistant", "c"),
            ("system", "S"),
            ("assistant", "d"),
            ("user", " \n"),
            ("user", "e"),
        )
        assert arrange(messages, default_system=None) == said(
            ("system", "S"), ("user", "a\n\nb"), ("assistant", "c\n\nd"), ("user", "e")
        )

    @pytest.mark.parametrize(
        ("turns", "ending"),
        [
            ((), "Hello."),
            ((("user", "Hi"), ("assistant", "Yes?")), "Please continue."),
            ((("assistant", "Yes?"),), "Please continue."),
        ],
    )
    def test_the_user_always_has_the_last_turn(
        self, turns: tuple[tuple[Role, str], ...], ending: str
    ) -> None:
        """Histories that end with the assistant, or have only a system message, were rejected."""
        for system in ((), (("system", "S"),)):
            messages = said(*system, *turns)
            assert arrange(messages, default_system=None) == (*messages, user(ending))

    def test_a_system_message_at_the_end_is_not_a_turn(self) -> None:
        messages = said(("user", "Hi"), ("system", "S"))
        assert arrange(messages, default_system=None) == said(("system", "S"), ("user", "Hi"))

    def test_many_turns_of_one_role(self) -> None:
        """Each message was appended to a copy of all before it, which blocked the event loop."""
        messages = [ChatMessage("user", "x" * 1000)] * 10_000
        (only,) = arrange(messages, default_system=None)
        assert len(only.content) == 10_000 * 1000 + 9_999 * 2


class TestFoldSystem:
    @pytest.mark.parametrize(
        ("messages", "folded"),
        [
            ((), ()),
            (said(("user", "a")), said(("user", "a"))),
            (said(("system", "S"), ("user", "a")), said(("user", "S\n\na"))),
            (
                said(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c")),
                said(("user", "S\n\na"), ("assistant", "b"), ("user", "c")),
            ),
            (
                said(("system", "S"), ("assistant", "b"), ("user", "c")),
                said(("user", "S"), ("assistant", "b"), ("user", "c")),
            ),
            # Such a template rejects a conversation that starts with the assistant.
            (said(("assistant", "b"), ("user", "c")), said(("user", "c"))),
        ],
    )
    def test_folded(
        self, messages: tuple[ChatMessage, ...], folded: tuple[ChatMessage, ...]
    ) -> None:
        assert fold_system(messages) == folded


def num_letters(message: ChatMessage) -> int:
    return len(message.content)


CONVERSATION = said(
    ("system", "SS"), ("user", "aaa"), ("assistant", "bbb"), ("user", "ccc"), ("assistant", "ddd")
) + said(("user", "eee"))


class TestTrim:
    @pytest.mark.parametrize(
        ("available_tokens", "kept"),
        [
            (17, "SS aaa bbb ccc ddd eee"),
            (16, "SS ccc ddd eee"),
            (14, "SS ccc ddd eee"),
            (11, "SS ccc ddd eee"),
            (10, "SS eee"),
            (8, "SS eee"),
            (5, "SS eee"),
        ],
    )
    def test_the_oldest_are_dropped_first(self, available_tokens: int, kept: str) -> None:
        trimmed = trim(CONVERSATION, num_tokens=num_letters, available_tokens=available_tokens)
        assert " ".join(message.content for message in trimmed) == kept

    def test_the_last_message_does_not_fit(self) -> None:
        with pytest.raises(RequestError, match="longer than the 4 tokens") as caught:
            trim(CONVERSATION, num_tokens=num_letters, available_tokens=4)
        assert (caught.value.param, caught.value.code) == ("messages", "context_length_exceeded")

    def test_without_a_system_prompt(self) -> None:
        assert (
            trim(CONVERSATION[1:], num_tokens=num_letters, available_tokens=9) == CONVERSATION[3:]
        )

    def test_a_greeting_is_kept_while_it_fits(self) -> None:
        greeted = said(("assistant", "hey"), ("user", "aaa"))
        assert trim(greeted, num_tokens=num_letters, available_tokens=6) == greeted
        assert trim(greeted, num_tokens=num_letters, available_tokens=5) == greeted[1:]

    def test_only_kept_messages_are_counted(self) -> None:
        """Counting ten thousand turns when only ten fit takes as long as the answer."""
        counted: list[ChatMessage] = []

        def count(message: ChatMessage) -> int:
            counted.append(message)
            return 1

        turns = said(*((("user", "a"), ("assistant", "b")) * 5000), ("user", "c"))
        assert len(trim(turns, num_tokens=count, available_tokens=9)) == 9
        assert len(counted) == 10

    @given(
        st.booleans(),
        st.booleans(),
        st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=12),
        st.integers(0, 60),
    )
    def test_invariants(
        self, has_system: bool, is_greeted: bool, contents: list[str], available_tokens: int
    ) -> None:
        own: list[tuple[Role, str]] = [("system", "SSS")] if has_system else []
        greeting: list[tuple[Role, str]] = [("assistant", "hey")] if is_greeted else []
        spoken = contents if len(contents) % 2 else contents[1:]
        turns: list[tuple[Role, str]] = [
            ("assistant" if index % 2 else "user", text) for index, text in enumerate(spoken)
        ]
        messages = said(*own, *greeting, *turns)
        needed = sum(map(num_letters, [*messages[: len(own)], messages[-1]]))
        if needed > available_tokens:
            with pytest.raises(RequestError):
                trim(messages, num_tokens=num_letters, available_tokens=available_tokens)
            return
        trimmed = trim(messages, num_tokens=num_letters, available_tokens=available_tokens)
        assert sum(map(num_letters, trimmed)) <= available_tokens
        assert trimmed[: len(own)] == messages[: len(own)]
        kept = trimmed[len(own) :]
        assert kept == messages[-len(kept) :]
        if trimmed != messages:
            assert kept[0].role == "user"
        roles = [message.role for message in kept]
        assert all(one != other for one, other in zip(roles, roles[1:], strict=False))
        assert roles[-1] == "user"

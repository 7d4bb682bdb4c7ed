"""What a model thinks before it answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.llm.thinking_filter import ThinkingFilter


def filtered(*pieces: str) -> str:
    thinking = ThinkingFilter()
    text = "".join(thinking.feed(piece) for piece in pieces)
    return text + thinking.flush()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", ""),
        ("Hi", "Hi"),
        (" \n Hi ", " \n Hi "),
        ("<think>Hm</think>Hi", "Hi"),
        (" \n<think>Hm</think>\n\nHi ", "Hi "),
        ("<think></think>\n\nHi", "Hi"),
        ("<think>a</think>\n<think>b</think> Hi", "Hi"),
        ("<think>Hm", ""),
        ("<think>Hm</thin", ""),
        ("<think>Hm</think>", ""),
        ("<think>Hm</think> \n", ""),
        ("<thin", "<thin"),
        ("  <", "  <"),
        ("<laugh> Hi", "<laugh> Hi"),
        ("Hi <think>there</think>", "Hi <think>there</think>"),
        ("<think>Hm</think>Hi <think>there</think>", "Hi <think>there</think>"),
        ("<think>a < b </ think></think>Hi", "Hi"),
    ],
)
def test_the_answer_alone(text: str, answer: str) -> None:
    assert filtered(text) == answer
    assert filtered(*text) == answer


PARTS = st.sampled_from(["<think>", "</think>", "<", "think", ">", " ", "\n", "a", "<laugh>"])


@given(st.lists(PARTS, max_size=12).map("".join), st.lists(st.integers(0, 60), max_size=6))
def test_cut_anywhere(text: str, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    pieces[-1] = text[min(ends[-2], len(text)) :]
    assert filtered(*pieces) == filtered(text)


def test_an_answer_is_not_held_up() -> None:
    thinking = ThinkingFilter()
    assert thinking.feed("<") == ""
    assert thinking.feed("sigh") == "<sigh"
    assert thinking.feed("> <think>") == "> <think>"

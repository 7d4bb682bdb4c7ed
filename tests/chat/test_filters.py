"""Reasoning and stop strings, in text that is cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.chat.filters import StopStringFilter, ThinkingFilter, WordFinder


@pytest.mark.parametrize(
    ("text", "has_word"),
    [
        ("", False),
        ("... \N{GRINNING FACE} ---", False),
        ("<laugh>", False),
        ("<sob></sob> !", False),
        ("5 < 6", True),
        ("... a", True),
        ("<laugh> ha", True),
        ("<laugh", False),
        ("你", True),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 99])
def test_a_word(text: str, has_word: bool, size: int) -> None:
    """Names of tags are not words."""
    finder = WordFinder()
    for start in range(0, len(text), size):
        finder.feed(text[start : start + size])
    assert finder.has_word is has_word


def without_thoughts(*pieces: str) -> str:
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
        ("<Think>Hm</THINK>Hi", "Hi"),
        ("<THINK>Hm", ""),
        ("<Thin", "<Thin"),
    ],
)
def test_the_answer_alone(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer
    assert without_thoughts(*text) == answer


PARTS = st.sampled_from(
    ["<think>", "</think>", "<Think>", "</THINK>", "<", "think", ">", " ", "\n", "a", "<laugh>"]
)


@given(st.lists(PARTS, max_size=12).map("".join), st.lists(st.integers(0, 60), max_size=6))
def test_reasoning_in_text_cut_anywhere(text: str, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    pieces[-1] = text[min(ends[-2], len(text)) :]
    assert without_thoughts(*pieces) == without_thoughts(text)


def test_an_answer_is_not_held_back() -> None:
    thinking = ThinkingFilter()
    assert thinking.feed("<") == ""
    assert thinking.feed("sigh") == "<sigh"
    assert thinking.feed("> <think>") == "> <think>"


def stopped(stops: tuple[str, ...], *pieces: str) -> tuple[str, bool]:
    stop = StopStringFilter(stops)
    text = "".join(stop.feed(piece) for piece in pieces)
    return text + stop.flush(), stop.is_stopped


@pytest.mark.parametrize(
    ("stops", "text", "kept", "is_stopped"),
    [
        ((), "abc", "abc", False),
        (("",), "abc", "abc", False),
        (("x",), "abc", "abc", False),
        (("b",), "abc", "a", True),
        (("abc",), "abc", "", True),
        (("abc",), "ab", "ab", False),
        (("aab",), "aaab", "a", True),
        (("END", "\n"), "one\nEND", "one", True),
        # The stop string that is complete first, however the text is cut.
        (("abcd", "c"), "abcd", "ab", True),
        # The longer of two that end at the same place.
        (("bc", "c"), "abcd", "a", True),
        (("안녕",), "말 안녕 끝", "말 ", True),
    ],
)
def test_up_to_the_stop(stops: tuple[str, ...], text: str, kept: str, is_stopped: bool) -> None:
    assert stopped(stops, text) == (kept, is_stopped)
    assert stopped(stops, *text) == (kept, is_stopped)


LETTERS = st.text("ab ", max_size=12)
STOPS = st.lists(st.text("ab ", max_size=4), max_size=3).map(tuple)


@given(STOPS, st.lists(LETTERS, max_size=5))
def test_stop_strings_in_text_cut_anywhere(stops: tuple[str, ...], pieces: list[str]) -> None:
    """With the stop strings `abcd` and `c`, a text in one piece ended at another place."""
    text = "".join(pieces)
    assert stopped(stops, *pieces) == stopped(stops, text) == stopped(stops, *text)


@given(STOPS, LETTERS)
def test_no_stop_string_gets_through(stops: tuple[str, ...], text: str) -> None:
    kept, is_stopped = stopped(stops, text)
    given_stops = [stop for stop in stops if stop]
    assert text.startswith(kept)
    assert not any(stop in kept for stop in given_stops)
    assert is_stopped == any(stop in text for stop in given_stops)
    if not is_stopped:
        assert kept == text


def test_only_a_possible_stop_string_is_held_back() -> None:
    stop = StopStringFilter(("END",))
    assert stop.feed("one EN") == "one "
    assert stop.feed("d E") == "ENd "
    assert stop.feed("ND two") == ""
    assert stop.is_stopped
    assert stop.feed("three") == ""
    assert stop.flush() == ""

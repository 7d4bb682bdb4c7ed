"""Text up to a stop string that comes in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.stop_filter import StopFilter


def filtered(stops: tuple[str, ...], *pieces: str) -> tuple[str, bool]:
    stop = StopFilter(stops)
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
        # The one that is complete first, however the text is cut.
        (("abcd", "c"), "abcd", "ab", True),
        # Of two that end there, the longer one.
        (("bc", "c"), "abcd", "a", True),
        (("안녕",), "말 안녕 끝", "말 ", True),
    ],
)
def test_up_to_the_stop(stops: tuple[str, ...], text: str, kept: str, is_stopped: bool) -> None:
    assert filtered(stops, text) == (kept, is_stopped)
    assert filtered(stops, *text) == (kept, is_stopped)


LETTERS = st.text("ab ", max_size=12)
STOPS = st.lists(st.text("ab ", max_size=4), max_size=3).map(tuple)


@given(STOPS, st.lists(LETTERS, max_size=5))
def test_cut_anywhere(stops: tuple[str, ...], pieces: list[str]) -> None:
    """With the stop strings `abcd` and `c` a text ended elsewhere if it came in one piece."""
    text = "".join(pieces)
    assert filtered(stops, *pieces) == filtered(stops, text) == filtered(stops, *text)


@given(STOPS, LETTERS)
def test_no_stop_string_gets_through(stops: tuple[str, ...], text: str) -> None:
    kept, is_stopped = filtered(stops, text)
    given_stops = [stop for stop in stops if stop]
    assert text.startswith(kept)
    assert not any(stop in kept for stop in given_stops)
    assert is_stopped == any(stop in text for stop in given_stops)
    if not is_stopped:
        assert kept == text


def test_only_what_may_become_a_stop_is_held_back() -> None:
    stop = StopFilter(("END",))
    assert stop.feed("one EN") == "one "
    assert stop.feed("d E") == "ENd "
    assert stop.feed("ND two") == ""
    assert stop.is_stopped
    assert stop.feed("three") == ""
    assert stop.flush() == ""

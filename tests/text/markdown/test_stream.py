"""Text with markup that arrives in deltas, which make no difference."""

import sys
from types import FrameType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orpheus_server.text.markdown.construct_reader import MAX_OPEN_CHARS
from orpheus_server.text.markdown.stream import MarkdownToSpeech, make_speakable
from tests.support.markup import CHAT, TEXT, cut, feed_all


def test_a_thought_may_be_longer_than_a_text_is_held_back() -> None:
    thought = "<think>" + "so it is, " * 2_000 + "</think>"
    assert make_speakable(f"{thought}Yes.", TEXT) == "Yes."
    assert make_speakable(f"Well. {thought[:5_000]}</think> Yes.", TEXT) == "Well. Yes."
    # Not a thought: the text would be held back for too long.
    text = make_speakable(f"Well. {thought} Yes.", TEXT)
    assert text.startswith("Well. <think>so it is, so")
    assert text.endswith("it is, Yes.")


@pytest.mark.parametrize(
    "opening", ["https://a.com/b", "```py\n", "<!--", "[a](http://" + "x" * 500]
)
def test_a_flush_ends_everything_else_that_is_left_out(opening: str) -> None:
    for dialect in (CHAT, TEXT):
        stream = MarkdownToSpeech(dialect)
        stream.feed(f"See {opening}" if opening[0] != "`" else opening)
        stream.flush()
        assert stream.feed("hello there") + stream.flush() == "hello there"


def test_a_flush_does_not_end_a_thought() -> None:
    stream = MarkdownToSpeech(TEXT)
    assert stream.feed("<think>One.") + stream.flush() == ""
    assert stream.feed(" Two.</think> Three.") + stream.flush() == " Three."
    # It no longer opens the text.
    assert stream.feed("<think>Four.") + stream.flush() == "<think>Four."
    assert stream.num_left_out == 1


@pytest.mark.parametrize(
    ("deltas", "parts"),
    [
        # Prose is held back only for a mark at its end.
        ("Hello there.| How", ["Hello there.", " How", ""]),
        ("Hel|lo wor|ld", ["Hel", "lo wor", "ld", ""]),
        ("Stop!| Now|!| So", ["Stop", "! Now", "", "! So", ""]),
        ("It is *|*so*|* nice", ["It is", " so", " nice", ""]),
        ("It costs $5 for| you", ["It costs $5 for", " you", ""]),
        ("a snake_|case", ["a snake", " case", ""]),
        ("see [the| docs](htt|ps://a.b)| now", ["see", "", " the docs", " now", ""]),
        ("see https:|//a.com|/b.|html.| Next", ["see", "", " a.com", "", ". Next", ""]),
        # The sentence before a block of code is spoken while the block is still being written.
        ("Here:\n``|`py|\nx = 1|\n``|`\nAnd", ["Here:", "", "\n\n", "", "And", ""]),
        ("One.\n|\n|# |Two", ["One.", "\n\n", "", "Two", "."]),
        ("a &am|p; b", ["a", " & b", ""]),
        ("x <la|ugh> <| y", ["x", " <laugh>", " < y", ""]),
        ("x <작은 |웃음>", ["x <작은", " 웃음>", ""]),
        ("Yes 👨|\u200d👩|. No", ["Yes", "", ". No", ""]),
        ("open [brack|et", ["open", "", " [bracket"]),
        ("open ``|`", ["open", "", ""]),
    ],
)
def test_text_is_returned_when_it_is_certain(deltas: str, parts: list[str]) -> None:
    assert feed_all(deltas.split("|")) == parts


@pytest.mark.parametrize("opening", ["[", "<b ", "$x", "https://", "&", "`<div", "![a](", ":a"])
def test_markup_that_stays_open_is_returned_as_text(opening: str) -> None:
    stream = MarkdownToSpeech(CHAT)
    assert stream.feed("Well, ") == "Well,"
    words = "and so on " * (MAX_OPEN_CHARS // 10 + 1)
    assert stream.feed(opening + words + "it goes").endswith("so on it goes")


def test_a_flush_starts_anew_and_dropped_parts_are_counted() -> None:
    stream = MarkdownToSpeech(CHAT)
    assert (stream.feed("# Hi 🎉 [a"), stream.num_left_out) == ("Hi", 1)
    assert (stream.flush(), stream.num_left_out) == (" [a.", 1)
    assert stream.feed("](b)\n```\nx") == "](b)\n\n"
    assert (stream.flush(), stream.num_left_out) == ("", 2)
    assert stream.feed("x 👨\u200d👩\u200d👧👍🏽🇩🇪🇫🇷 :-) [^1] <!-- ") == "x"
    assert (stream.flush(), stream.num_left_out) == ("", 9)
    assert (stream.feed("# A") + stream.flush(), stream.flush()) == ("A.", "")


# Fragments that interact across deltas, and long runs that reach the limits.
FRAGMENTS = st.lists(
    st.sampled_from(
        ["*", "**", "_", "~~", "`", "```", "~~~", "\n", "\n\n", " ", "\t", "\r\n", "# ", "- ", "+ "]
        + ["1. ", "2) ", "> ", "[", "]", "(", ")", "![", "](", "[^1]", "[1]", "[x] ", "|", "|---|"]
        + ["---", "===", "<", "</", ">", "<br>", "<laugh>", "<li>", "<!--", "-->", "<think>", "&"]
        + [
            "</think>",
            "</THINK>",
            "<a href='",
            "<sup>2</sup>",
            "-\n",
            "\xad",
            "&amp;",
            "#39;",
            "https://",
            "www.",
            "a.com",
            "/a?b=1",
            "@",
            "mailto:",
            "$",
        ]
        + ["$$", "$5", "x^2", "\\", "\\(", "\\)", "\\frac", "\\times", "{", "}", "😀", "\u200d"]
        + ["\ufe0f", "🇩", "🏽", "\u20e3", "→", "->", ":", "-)", ":D", "smile:", ".", "!", "?", "…"]
        + [
            "5",
            "a",
            "x",
            "h",
            "Hello",
            "Dr. ",
            "你好",
            "。",
            "वह",
            "안녕",
            "e\u0301",
            "'",
            '"',
            "❶",
        ]
        + ["【4†s】", "%", "~5", "\u200b", "\x1f", "[a](b)", "[a](http://", "(b c)", "\\begin{a}"]
        + ["y" * 200, "z " * 120, "_" * 40, "-" * 90, "😀" * 60, "|" * 150, "." * 40, "[x](" * 3]
    ),
    max_size=40,
).map("".join)
CUTS = st.lists(st.integers(0, 400))


@settings(deadline=None)
@given(st.text() | FRAGMENTS, CUTS)
@example("- `<laugh>`: [a](https://b.c/d_(e).f) 1️⃣ → **x**\n```\nx\n", [])
def test_deltas_make_no_difference(text: str, places: list[int]) -> None:
    for dialect in (CHAT, TEXT):
        whole = make_speakable(text, dialect)
        assert "".join(feed_all(cut(text, places), dialect)) == whole
        assert "".join(feed_all(list(text), dialect)) == whole


HOSTILE = ["[", "*", "`", "<", "_", "$a", "(", "![", "[x](http://", "https://a", "&a", "|", "> "]
HOSTILE += ["<think>", "a-\n", "<a b='", "&amp;", "<script>", "<sup>2"]
HOSTILE += ["# ", "😀", "a", ".", ":", "\n", "<!--", "```\n", "【", "\\(", "=", "1️⃣", "\u200d", "h "]


def count_calls(text: str) -> int:
    """Counts the function calls, including those of C, for a text fed one character at a time."""
    num_calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal num_calls
        num_calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        feed_all(list(text))
    finally:
        sys.setprofile(before)
    return num_calls


@pytest.mark.parametrize("unit", HOSTILE)
def test_work_is_linear_in_the_text(unit: str) -> None:
    """Each call reads a bounded piece of text, so the number of calls measures the work."""
    once, twice = (count_calls(unit * (num // len(unit))) for num in (1_200, 2_400))
    assert twice < 2.2 * once
    assert once < 150 * 1_200


@pytest.mark.parametrize("unit", ["[", "*", "`", "<", "![a](", "https://a.b/", "😀", "$a", "\\("])
def test_hostile_text_is_converted(unit: str) -> None:
    make_speakable(unit * (32_768 // len(unit)), CHAT)

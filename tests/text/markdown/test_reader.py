"""Markup as speech: each construct, and text that is not markup."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.text.english.normalising import normalise
from orpheus_server.text.markdown.construct_reader import Dialect
from orpheus_server.text.markdown.stream import MarkdownToSpeech, make_speakable
from tests.support.markup import CHAT, MARKUP, PROSE, TEXT, UNCHANGED_TEXT, cut, feed_all

CUTS = st.lists(st.integers(0, 400))


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@pytest.mark.parametrize(("text", "spoken"), MARKUP)
def test_markup_is_resolved(text: str, spoken: str) -> None:
    assert make_speakable(text, CHAT).strip(" ") == spoken
    assert "".join(feed_all(list(text))).strip(" ") == spoken


@pytest.mark.parametrize("dialect", [CHAT, TEXT], ids=["chat", "text"])
@pytest.mark.parametrize("text", PROSE)
def test_prose_is_unchanged(text: str, dialect: Dialect) -> None:
    assert make_speakable(text, dialect) == text
    assert "".join(feed_all(list(text), dialect)) == text


@pytest.mark.parametrize("text", UNCHANGED_TEXT)
def test_text_that_has_a_meaning_in_chat_only(text: str) -> None:
    assert make_speakable(text, TEXT) == text
    assert "".join(feed_all(list(text), TEXT)) == text
    assert make_speakable(text, CHAT) != text


@pytest.mark.parametrize(
    ("text", "num_left_out"),
    [
        ("**Bold**, <b>bold</b>, # and `code`.\n- A [link] &amp; 1", 0),
        ("[text](https://a.com/b) and [text](), but [](https://a.com/b)", 2),
        ("![a](b.png) <img src='b.png' alt='a'>", 2),
        ("<a href='https://a.com'>text</a> <a name=x>y</a>", 1),
        ("https://www.a.com www.b.com https://c.com/d?e=f <https://d.com/e>", 2),
        ("http://bob:pw@a.com ftp://anna@b.org/x redis://c", 2),
        ("[1]: https://a.com", 1),
        ("One.\n```\nx\n```\nTwo. <!-- no --> [^1] 😀😀 :-)", 6),
        ("<think>hm</think> Well <think>hm</think> <script>x</script> yes", 3),
        ("<think>hm", 1),
        ("He said <think> and left.", 0),
        ("<speak>A <prosody rate='x'>b</prosody> <break/> <foo a='b'>c</foo></speak>", 3),
        ("&#128512; and &rarr;", 1),
        ("nega-\ntive", 0),
    ],
)
def test_what_is_left_out_is_counted(text: str, num_left_out: int) -> None:
    for deltas in ([text], list(text)):
        stream = MarkdownToSpeech(TEXT)
        for delta in deltas:
            stream.feed(delta)
        stream.flush()
        assert stream.num_left_out == num_left_out


WORDS = st.sampled_from(
    ["the", "horse", "a", "Xylophones", "https", "www", "mail", "3.50", "Dr. Who", "e.g. this"]
    + ["schöne", "garçon", "안녕", "नमस्ते", "今天", "十二", "it's", "well-known", "U.S.", "24/7"]
)
SENTENCES = st.builds(
    lambda words, stop: " ".join(words) + stop,
    st.lists(WORDS, min_size=1, max_size=12),
    st.sampled_from([".", "!", "?", "…", "。", "?!", ")", ' ("so")', ": yes", " – no", ""]),
)


@settings(deadline=None)
@given(
    st.lists(SENTENCES, min_size=1, max_size=6), st.sampled_from([" ", "\n\n", "\n", "  "]), CUTS
)
def test_sentences_are_unchanged(sentences: list[str], gap: str, places: list[int]) -> None:
    text = gap.join(sentences)
    for dialect in (CHAT, TEXT):
        assert "".join(feed_all(cut(text, places), dialect)) == text


# Markup around words, and the words that are spoken.
WRAPPED: list[Callable[[str], tuple[str, str]]] = [
    lambda words: (words, words),
    lambda words: (f"**{words}**", words),
    lambda words: (f"*{words}*", words),
    lambda words: (f"~~{words}~~ 🎉", words),
    lambda words: (f"`{words}`", words),
    lambda words: (f"[{words}](https://a.com/b)", words),
    lambda words: (f"![{words}][1]", words),
    lambda words: (f"<b>{words}</b>", words),
    lambda words: (f"\\({words}\\)", words),
    lambda words: (f"\n# {words}\n", words),
    lambda words: (f"\n- {words}\n", words),
    lambda words: (f"\n7. {words}\n", f"7{words}"),
    lambda words: (f"\n> {words}\n", words),
    lambda words: (f"\n| {words} | {words} |\n", words + words),
    lambda words: (f"\n```\n{words}\n```\n", ""),
    lambda words: (f"{words} → {words} [^2]", words + words),
    lambda words: (f"<!-- {words} -->", ""),
]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WRAPPED), SENTENCES), max_size=8))
def test_no_word_of_prose_is_lost(
    parts: list[tuple[Callable[[str], tuple[str, str]], str]],
) -> None:
    wrapped = [wrap(words) for wrap, words in parts]
    text = make_speakable(" ".join(markup for markup, _ in wrapped), CHAT)
    assert letters(text) == letters("".join(words for _, words in wrapped))
    assert not re.search(r"[*~`#<>|\[\]\\🎉→]", text)


def test_signs_are_left_to_the_rules_of_the_language() -> None:
    text = make_speakable(
        "At <https://www.example.com/a> or anna@example.com, 5 * 3 = $x^2$.", CHAT
    )
    assert normalise(text, is_word=lambda word: True) == (
        "At example dot com or anna at example dot com, 5 times 3 equals x squared ."
    )

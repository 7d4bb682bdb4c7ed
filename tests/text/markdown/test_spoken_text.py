"""All text on its way in: it is read like the same text without markup, whole or in pieces."""

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.errors import RequestError
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.front_end import LetterFrontEnd, PhonemeFrontEnd
from orpheus_server.text.markdown.spoken_text import Markup, SpokenTextStream, plan_spoken_text
from orpheus_server.text.phonemes import build_phonemizer

TAGS = frozenset({"laugh"})
LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)
LETTERS = LetterFrontEnd(lambda text: len(text) / 15)

plan = partial(plan_spoken_text, tags=TAGS, limits=LIMITS, front_end=LETTERS)
open_stream = partial(SpokenTextStream, tags=TAGS, limits=LIMITS, front_end=LETTERS)


def planned(text: str, markup: Markup = Markup.AUTO) -> str:
    chunks = plan(text, markup=markup)
    return " ".join(chunk.text for chunk in iter(chunks.next_chunk, None))


def streamed(deltas: list[str], markup: Markup = Markup.AUTO) -> str:
    stream = open_stream(markup=markup)
    chunks = [chunk for delta in deltas for chunk in stream.feed(delta)]
    return " ".join(chunk.text for chunk in [*chunks, *stream.flush()])


# Markup, and the text that says the same without it.
SAME = [
    ("Tom &amp; Jerry, it&#39;s fine&nbsp;now.", "Tom & Jerry, it's fine now."),
    ("&quot;Caf&eacute;&quot; &#x2014; so&hellip;", '"Café" — so…'),
    ("The 20<sup>th</sup> century, H<sub>2</sub>O.", "The 20th century, H2O."),
    ("An un<b>believ</b>able <i>sto</i>ry, f<EM>or</EM> you.", "An unbelievable story, for you."),
    ("See [the docs](https://a.com/b?c=d) and ![a cat](cat.png).", "See the docs and a cat."),
    ("Go to https://www.example.com/a/b?c=d#e now.", "Go to example.com now."),
    ("# News\nIt **rained** _all_ day.", "News.\nIt rained all day."),
    ("| Name | Age |\n|---|---|\n| Ann | five |", "Name, Age.\nAnn, five."),
    ("Do this:\n```sh\nrm -rf x\n```\nThen go.", "Do this:\n\nThen go."),
    ("<p>One day.</p><p>Two days.</p>", "One day.\n\nTwo days."),
    ("<Think>Let me see.\n\nYes.</THINK>It is two.", "It is two."),
    ("Well. <think>No.</think> Yes.", "Well. Yes."),
    ("Then he said <think> and walked away.", "Then he said think and walked away."),
    ("It is nega-\ntive.", "It is negative."),
    ("A well-\nknown man.", "A well-known man."),
    ("<speak>Hello <break time='1s'/> you.</speak>", "Hello, you."),
    ("<laugh> <b>So</b> <happy> it is.", "<laugh> So it is."),
    ("Good 🎉 morning :-) you.", "Good morning you."),
]


@pytest.mark.parametrize(("text", "same"), SAME)
def test_markup_is_read_as_the_text_without_it(text: str, same: str) -> None:
    assert planned(text) == planned(same, Markup.PLAIN)
    assert streamed(list(text)) == streamed([same], Markup.PLAIN)


UNCHANGED = [
    "If a < b and c > d, then 3 < 5 > 2.",
    "So 5*3*2 is 30, and 5 * 3 is 15.",
    "Call snake_case or get_user_id, [sic] (so) {be} it.",
    "It says [1], [2] and [1, 2].",
    "The tag :name: and Adobe XD, AT&T and R&D.",
    "Press <enter> and use List<String> now.",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_prose_is_the_same_with_and_without_markup(text: str) -> None:
    assert planned(text) == planned(text, Markup.PLAIN)
    assert streamed(list(text)) == streamed([text], Markup.PLAIN)
    assert plan(text).num_left_out == 0


def test_habits_of_chat() -> None:
    text = "It is so [1]. Nice :smile: and XD."
    assert planned(text, Markup.CHAT) == "It is so. Nice and."
    assert planned(text) == text


def test_without_markup_tags_and_pauses_stay() -> None:
    text = "A *b* <laugh> &amp; c\n\nD [e](f) <happy> g."
    assert planned(text, Markup.PLAIN) == "A *b* <laugh> &amp; c. D [e](f) g."
    assert streamed([text], Markup.PLAIN) == "A *b* <laugh> &amp; c. D [e](f) g."
    chunks = plan(text, markup=Markup.PLAIN)
    assert (chunks.num_left_out, chunks.num_dropped_tags) == (0, 1)


def test_counts() -> None:
    text = "Hi 🎉 [a](b) <happy> you."
    chunks, stream = plan(text), open_stream()
    stream.feed(text[:9])
    assert stream.num_chars == 9
    stream.feed(text[9:])
    stream.flush()
    assert (chunks.num_left_out, chunks.num_dropped_tags) == (2, 1)
    assert (stream.num_left_out, stream.num_dropped_tags) == (2, 1)
    assert (stream.num_chars, stream.num_dropped_symbols) == (len(text), 0)


@pytest.mark.parametrize("text", ["```\nprint(1)\n```", "<think>Hm.", "😀", "<!-- so -->"])
def test_a_text_of_nothing_but_markup(text: str) -> None:
    chunks = plan(text)
    assert (chunks.is_empty, chunks.num_left_out) == (True, 1)
    assert streamed([text]) == ""


@pytest.mark.parametrize("text", ["# ...", "---", "<sigh>", "**"])
def test_a_text_without_words_has_nothing_to_speak(text: str) -> None:
    stream = open_stream()
    assert plan(text).is_empty
    assert (stream.feed(text), stream.flush(), stream.is_blank) == ([], [], False)


@pytest.mark.parametrize("text", ["", " \n\t\u3000", "\u200b\ufeff", "\x00\x1b", "\ud800"])
def test_a_blank_text(text: str) -> None:
    with pytest.raises(RequestError, match="The input is blank") as rejected:
        plan(text)
    assert (rejected.value.param, rejected.value.code) == ("input", "nothing_to_speak")
    stream = open_stream()
    assert ([stream.feed(char) for char in text], stream.flush()) == ([[]] * len(text), [])
    assert stream.is_blank
    stream.feed(".")
    assert not stream.is_blank


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*(text for text, _ in SAME), *UNCHANGED]), max_size=4),
    st.lists(st.integers(0, 300)),
)
def test_deltas_make_no_difference(texts: list[str], places: list[int]) -> None:
    text = "\n\n".join(texts)
    edges = sorted({0, len(text), *(place for place in places if place < len(text))})
    deltas = [text[start:end] for start, end in pairwise(edges)]
    whole, pieces = open_stream(), open_stream()
    chunks = [chunk for delta in deltas for chunk in pieces.feed(delta)]
    assert [*chunks, *pieces.flush()] == [*whole.feed(text), *whole.flush()]
    assert pieces.num_left_out == whole.num_left_out


def test_the_phonemes_are_those_of_the_text_without_markup() -> None:
    phonemizer = build_phonemizer("gruut/en-us")
    front_end = PhonemeFrontEnd(phonemizer, is_word=phonemizer.is_word)

    def phonemes(text: str, markup: Markup = Markup.AUTO) -> list[str]:
        chunks = plan(text, front_end=front_end, markup=markup)
        return [chunk.spoken for chunk in iter(chunks.next_chunk, None)]

    for text, same in SAME:
        assert phonemes(text) == phonemes(same, Markup.PLAIN), text
    # The dictionary knows "longterm", and that "nega" is not a word.
    assert phonemes(
        "The pre-\nsent, real-\nly user-\nfriendly, phos-\nphorus mother-in-\nlaw."
    ) == (phonemes("The present, really user-friendly, phosphorus mother-in-law."))

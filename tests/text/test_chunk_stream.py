"""Text in deltas: when its chunks are returned, and that the cuts make no difference."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orpheus_server.checkpoints.published import ALL_EMOTION_TAGS
from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.clean_stream import CleanStream
from orpheus_server.text.cleaning import clean_text, has_letter_or_digit
from orpheus_server.text.front_end import LetterFrontEnd, PreparedText

TAGS = frozenset({"laugh", "sigh", "작은 웃음", "咳"})
LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)
SHORT = ChunkLimits(chunk_max_chars=60, chunk_max_sec=50.0)
ALL_LIMITS = (
    *(LIMITS, SHORT, replace(LIMITS, max_sentences=1), replace(SHORT, max_sentences=2)),
    ChunkLimits(7, 0.3),
)

# Fragments that interact across deltas: tags, tokens, marks, line ends, stops in sentences.
FRAGMENTS = st.lists(
    st.sampled_from(
        ["<", ">", "|", "/", "=", "<laugh>", "<LAUGH>", "<happy>", "<|eot_id|>", "<custom_token_"]
        + [
            "5>",
            "<작은",
            " 웃음>",
            "<br/>",
            "<b ",
            "\u200d",
            "\u200b",
            "\u0301",
            "\u0338",
            "क",
            "ष",
        ]
        + ["\u094d", "\u1100", "\u1161", "\u11a8", "\ud800", "\r", "\r\n", "\n", "\n\n", "\t", " "]
        + ["Hello ", "there, ", "friend. ", "Dr. ", "U.S. ", "No. ", "3.", "14 ", '"Stop!" ', "he "]
        + ["...", "…", "你好。", "「好！」", "，", "वह आया। ", "😀 ", "— ", "***", "x" * 70, "7 "]
        + ["late.", "2024.", "12. ", "Inc. ", "The", "Then ", "Com", "A", "/", "late?", '."', "a.B"]
    ),
    max_size=40,
).map("".join)
CUTS = st.lists(st.integers(0, 400))


def stream(limits: ChunkLimits = LIMITS) -> ChunkStream:
    # Every character has a duration, so that only text without speech is dropped.
    return ChunkStream(
        tags=TAGS, limits=limits, front_end=LetterFrontEnd(lambda text: len(text) / 15)
    )


def feed_all(deltas: list[str], limits: ChunkLimits = LIMITS) -> list[list[str]]:
    """Returns the chunks after each delta, and after the flush."""
    text = stream(limits)
    return [*(texts_of(text.feed(delta)) for delta in deltas), texts_of(text.flush())]


def texts_of(chunks: list[PreparedText]) -> list[str]:
    return [chunk.text for chunk in chunks]


def join(chunks: list[list[str]]) -> list[str]:
    return [chunk for some in chunks for chunk in some]


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place for place in places if place < len(text))})
    return [text[start:end] for start, end in pairwise(edges)]


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@pytest.mark.parametrize(
    ("deltas", "chunks"),
    [
        ("hel|lo wor|ld. Ne|xt", [[], [], [], [], ["hello world. Next."]]),
        # The word after the stop decides, so its first letter is needed.
        (
            "Hello to all of you out there.| |N|ext one",
            [[], [], ["Hello to all of you out there."], [], ["Next one."]],
        ),
        (
            "Yesterday I went to see Dr.| Who about it. T",
            [[], ["Yesterday I went to see Dr. Who about it."], ["T."]],
        ),
        (
            "I have been told that it is 3.|14 or so. Yes",
            [[], ["I have been told that it is 3.14 or so."], ["Yes."]],
        ),
        (
            "They saw great big towns, e.g.| Rome, and left. W",
            [[], ["They saw great big towns, e.g. Rome, and left."], ["W."]],
        ),
        (
            "It is somewhere over in the U.S.| Army. It is",
            [[], ["It is somewhere over in the U.S. Army."], ["It is."]],
        ),
        (
            "And then it was over..| .| and| then on. Well",
            [[], [], [], ["And then it was over.. . and then on."], ["Well."]],
        ),
        (
            'Then he said: "Stop it, please!|" he| said. Yes',
            [[], [], ['Then he said: "Stop it, please!" he said.'], ["Yes."]],
        ),
        (
            'Then he said: "Stop it, please!|" T|hey left.',
            [[], ['Then he said: "Stop it, please!"'], [], ["They left."]],
        ),
        (
            "That is really very funny. <la|ugh> So it is",
            [[], ["That is really very funny."], ["<laugh> So it is."]],
        ),
        (
            "That is really funny <la|ugh>. S|o it is",
            [[], ["That is really funny <laugh>."], [], ["So it is."]],
        ),
        ("Well then <custom_|token_5>", [[], [], ["Well then."]]),
        ("Well then, a |< b and 3 > 2 here", [[], [], ["Well then, a < b and 3 > 2 here."]]),
        ("Cafe|\u0301 a\u200b|b", [[], [], [], ["Café ab."]]),
        ("A heading\n|\nAnd text\r\n|\r\n", [[], ["A heading."], ["And text."], []]),
        ("- milk\n|- bread\n- eggs", [[], [], ["- milk, - bread, - eggs."]]),
        ("Yes.\n\n***\n\n😀\n\nNo", [["Yes."], ["No."]]),
        ("...| 😀 | <happy>", [[], [], [], []]),
        # Without a space the rest of the word decides: "2024.The" but "node.Js".
        (
            "It was published in 2024.|The| n|ext one of them is late, and so on.|And it was.",
            [
                [],
                [],
                ["It was published in 2024."],
                [],
                ["The next one of them is late, and so on."],
                ["And it was."],
            ],
        ),
        (
            "All of it is now written in node.|Js| a|nd it went on.",
            [[], [], [], [], ["All of it is now written in node.Js and it went on."]],
        ),
        # Abbreviations and ordinals end a sentence before some words.
        (
            "It is somewhere over in the U.S. T|he| r|est is here",
            [[], [], ["It is somewhere over in the U.S."], [], ["The rest is here."]],
        ),
        (
            "It was so cold on that day, the 24. D|ec| a|nd so on",
            [[], [], [], [], ["It was so cold on that day, the 24. Dec and so on."]],
        ),
    ],
)
def test_chunks_are_returned_when_they_are_certain(deltas: str, chunks: list[list[str]]) -> None:
    assert feed_all(deltas.split("|")) == chunks


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        # The first chunk ends after at least 25 characters, later ones after at least 40.
        (
            "Hi. How are you today, friend? Good. I am fine. And so is everyone here. Bye.",
            [
                "Hi. How are you today, friend?",
                "Good. I am fine. And so is everyone here.",
                "Bye.",
            ],
        ),
        # A first sentence of more than 80 characters is cut after its last clause before that.
        (
            "It was a bright, cold day in the middle of April, and all the clocks of the old town "
            "were striking thirteen.",
            [
                "It was a bright, cold day in the middle of April,",
                "and all the clocks of the old town were striking thirteen.",
            ],
        ),
        # Without one it is cut after the next clause.
        (
            "It was a bright and cold day in the middle of April when all the clocks of the town, "
            "that is to say both, were striking.",
            [
                "It was a bright and cold day in the middle of April when all the clocks of the "
                "town,",
                "that is to say both, were striking.",
            ],
        ),
        ("वह आया और फिर वह घर चला गया। वह गया।", ["वह आया और फिर वह घर चला गया।", "वह गया।"]),
        ("今天天气好。我们去公园。你好吗？", ["今天天气好。我们去公园。", "你好吗？"]),
        (
            "Das war schon am 24. Dezember, als er kam. Ja.",
            ["Das war schon am 24. Dezember, als er kam.", "Ja."],
        ),
        ("¿Cómo está usted hoy, Sr. Gil? ¡Bien!", ["¿Cómo está usted hoy, Sr. Gil?", "¡Bien!"]),
        (
            "كيف حالك يا صديقي العزيز اليوم؟ أنا بخير",
            ["كيف حالك يا صديقي العزيز اليوم؟", "أنا بخير."],
        ),
    ],
)
def test_where_chunks_end(text: str, chunks: list[str]) -> None:
    assert join(feed_all([text])) == chunks
    assert join(feed_all(list(text))) == chunks


def test_no_chunk_is_longer_than_the_limits() -> None:
    text = "one two three four five six seven eight, nine ten eleven twelve thirteen fourteen then"
    assert join(feed_all([text], SHORT)) == [
        "one two three four five six seven eight,",
        "nine ten eleven twelve thirteen fourteen then.",
    ]
    text = "one two three four five six seven eight nine ten eleven twelve thirteen"
    assert join(feed_all([text], SHORT)) == [
        "one two three four five six seven eight nine ten eleven,",
        "twelve thirteen.",
    ]
    limits = ChunkLimits(chunk_max_chars=500, chunk_max_sec=2.0)
    assert max(map(len, join(feed_all([text], limits)))) <= 31


@pytest.mark.parametrize(
    "sentences",
    [
        ["It was published in 2024.", "The next one is late.", "So it is still waited for."],
        ["and sat down.", " Outside, the rain began again,"],
        ["Yes.", " No.", " Is it?", " I know, I know.", " So it is."],
        ["I paid 12.", " The next one costs 5.", " It is late."],
        ["He is Dr. Smith of the U.S. Army.", " They know him, e.g. from Rome."],
        ["A list.", "\n\nIt goes on,\n- as a list does.", " And ends."],
    ],
)
def test_a_voice_of_single_sentences_gets_each_one_alone(sentences: list[str]) -> None:
    limits = replace(LIMITS, max_sentences=1)
    text = "".join(sentences)
    chunks = [" ".join(sentence.split()) for sentence in sentences]
    assert join(feed_all([text], limits)) == chunks
    assert join(feed_all(list(text), limits)) == chunks


def test_how_chunks_end() -> None:
    text = stream(replace(SHORT, max_sentences=1))
    chunks = [
        *text.feed("A heading\n\nOne is here. Two is here.\n\n***\n\n"),
        *text.feed("it was the longest clause that they had heard so far, and then "),
        *text.feed("it went on for as long as nobody had ever thought it would"),
        *text.flush(),
    ]
    assert [(chunk.text, chunk.ending) for chunk in chunks] == [
        ("A heading.", "paragraph"),
        ("One is here.", "sentence"),
        ("Two is here.", "paragraph"),
        ("it was the longest clause that they had heard so far,", "clause"),
        ("and then it went on for as long as nobody had ever thought,", "word"),
        ("it would.", "sentence"),
    ]


def test_a_chunk_has_at_most_so_many_sentences() -> None:
    limits = replace(LIMITS, max_sentences=3)
    assert join(feed_all(["Yes. No. Oh. Hm. Ha. So it went on. He. Ja."], limits)) == [
        "Yes. No. Oh.",
        "Hm. Ha. So it went on.",
        "He. Ja.",
    ]


def test_a_flush_ends_a_chunk_and_starts_anew() -> None:
    text = stream()
    assert text.feed("one <la") == []
    assert texts_of(text.flush()) == ["one <la."]
    assert text.feed("ugh> two. Then it went on for a whi") == []
    assert texts_of(text.feed("le. Ok")) == ["ugh> two. Then it went on for a while."]
    assert texts_of(text.flush()) == ["Ok."]
    assert text.flush() == []


def test_dropped_tags_and_symbols_are_counted() -> None:
    text = ChunkStream(
        tags=TAGS,
        limits=LIMITS,
        front_end=LetterFrontEnd(lambda text: float(text.isascii()) * len(text) / 15),
    )
    chunks = [
        *text.feed("Well <happy> <custom_"),
        *text.feed("token_5>yes.\n\n你好"),
        *text.flush(),
    ]
    assert texts_of(chunks) == ["Well yes."]
    assert (text.num_dropped_tags, text.num_dropped_symbols) == (2, 2)


@settings(deadline=None)
@given(st.text() | FRAGMENTS, CUTS, st.sampled_from(ALL_LIMITS))
def test_deltas_make_no_difference(text: str, places: list[int], limits: ChunkLimits) -> None:
    whole = join(feed_all([text], limits))
    assert join(feed_all(cut(text, places), limits)) == whole
    assert join(feed_all(list(text), limits)) == whole
    assert max(map(len, whole), default=0) <= limits.chunk_max_chars + 1


@settings(deadline=None)
@given(FRAGMENTS, st.sampled_from(ALL_LIMITS[:-1]))
@example("a <b c> d. <작은\n\n 웃음>", LIMITS)
def test_nothing_is_lost_or_reordered(text: str, limits: ChunkLimits) -> None:
    clean = clean_text(text[:250], tags=TAGS, all_tags=ALL_EMOTION_TAGS)
    chunks = join(feed_all([text[:250]], limits))
    assert letters("".join(chunks)) == letters(clean.text)


@settings(deadline=None)
@given(FRAGMENTS)
@example("<b " * 100 + "<|eot_id|>")
@example("<" + "a " * 200 + "<custom_<|x|>token_5>")
def test_no_control_token_is_passed_on(text: str) -> None:
    """Fault case 4: even if an open bracket is abandoned, its content is not a token."""
    for chunk in join(feed_all([text])):
        assert not re.search(r"<\|[^<>]*\|>|<custom_token_\d+>", chunk, re.IGNORECASE)


@settings(deadline=None)
@given(st.text() | FRAGMENTS)
@example("\u1100\u200b\u1161 ")
@example("<\u0301好a>")
@example("<b <br/>. K= <laugh> x>")
@example("R" * 200 + "AW " + "h" * 20 + "a")
def test_the_text_that_is_passed_on_is_the_clean_text(text: str) -> None:
    text = text[:250]  # An open tag holds back no more than this.
    cleaner = CleanStream(tags=TAGS)
    parts = [part for part, _ in cleaner.feed(text)]
    clean = clean_text(text, tags=TAGS, all_tags=ALL_EMOTION_TAGS)
    assert "".join([*parts, cleaner.flush()]).split() == clean.text.split()
    assert cleaner.num_dropped_tags == clean.num_dropped_tags + clean.num_dropped_control_tokens


@pytest.mark.parametrize(
    "unit",
    ["ab", "a ", "a, ", "<", "<a", "<a ", "<laugh> ", "!", "!\n", "e.g. ", "你", '"a', "\u0301"]
    + ["a.B", "ab.Cd", "ab.", "12. T", "U.S. T", "Inc. A"],
)
def test_hostile_text_passes(unit: str) -> None:
    """One character at a time: work that grew with the text so far would take minutes."""
    text = unit * (6_000 // len(unit))
    chunks = join(feed_all(list(text)))
    assert letters("".join(chunks)) == letters(text)


def test_the_last_chunk_before_unspeakable_text_ends_in_a_full_stop() -> None:
    text = ChunkStream(
        tags=TAGS,
        limits=replace(LIMITS, chunk_max_chars=20),
        front_end=LetterFrontEnd(lambda text: float(text.isascii())),
    )
    assert text.feed(f"One two three four {'你好' * 10}") == []
    assert texts_of(text.flush()) == ["One two three four."]
    assert text.num_dropped_symbols == 20


def test_a_tail_without_letters_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: each of its pieces searched the rest, which took quadratic time."""
    searched: list[int] = []

    def count(text: str) -> bool:
        searched.append(len(text))
        return has_letter_or_digit(text)

    monkeypatch.setattr("orpheus_server.text.chunk_stream.has_letter_or_digit", count)
    stream = ChunkStream(tags=frozenset(), limits=LIMITS)
    stream.feed("." * 20_000)
    stream.flush()
    assert sum(searched) <= 20_000

"""Any text, planned or streamed, is spoken or rejected, and dropped symbols are counted."""

import unicodedata
from itertools import pairwise

from hypothesis import strategies as st

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import ALL_EMOTION_TAGS, ENGLISH
from orpheus_server.errors import RequestError
from orpheus_server.synthesis.prompts import PromptBuilder
from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.chunking import SLACK_WITHOUT_PAUSE, ChunkLimits, plan_chunks
from orpheus_server.text.cleaning import clean_text
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.front_end import LetterFrontEnd, PreparedText
from orpheus_server.text.markdown.spoken_text import Markup, SpokenTextStream, plan_spoken_text
from tests.fuzz.examples import Effort, efforts
from tests.support.app import POCKET, build_prompts, front_end_of

TAGS = frozenset({"laugh", "sigh", "작은 웃음"})
LIMITS = st.builds(
    ChunkLimits,
    chunk_max_chars=st.integers(1, 12) | st.integers(13, 500),
    chunk_max_sec=st.floats(0.3, 50.0),
)

# Every code point, including the lone surrogates that JSON can escape.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
# Inputs of all rules: tags, tokens, marks, joiners, directions, stops, scripts, long words.
PIECES = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "|",
            "<laugh>",
            "<happy>",
            "<|eot_id|>",
            "<custom_token_5>",
            "<br/>",
            "<작은 웃음>",
        ]
        + [
            "\u0301",
            "\u0338" * 9,
            "\u200d",
            "\u200b",
            "\ufe0f",
            "\u202e",
            "\u2066",
            "\ud800",
            "\udc00",
        ]
        + [
            "שלום ",
            "مرحبا، ",
            "क्षि ",
            "\u094d",
            "\u1100",
            "\u1161",
            "你好。",
            "「好！」",
            "ありがと",
            "กข",
        ]
        + [
            "Hello ",
            "there, ",
            "friend. ",
            "Dr. ",
            "3.14 ",
            "1,000",
            "NASA ",
            "…",
            "— ",
            "\n",
            "\n\n",
        ]
        + ["\x00", "\x85", "\u2028", "\u3000", "😀", "👩\u200d👩", "🇩🇪", "½", "𝟙", "€"]
    )
    | ANY_TEXT,
    max_size=30,
).map("".join)
LONG = st.builds(
    lambda unit, before, after: f"{before}{unit * (4096 // len(unit))}{after}",
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=3),
    PIECES,
    PIECES,
)
TEXTS = PIECES | ANY_TEXT | LONG


def num_symbols(text: str) -> int:
    """Returns the number of letters and digits, which are spoken or counted as dropped."""
    return sum(map(str.isalnum, text))


def ascii_duration_sec(text: str) -> float:
    """Returns the duration in seconds for a voice that only has ASCII letters and digits."""
    return sum(char.isascii() and char.isalnum() for char in text) / 15


ASCII_FRONT_END = LetterFrontEnd(ascii_duration_sec)


@efforts(quick=150, slow=3000)
def test_a_plan_speaks_or_counts_every_symbol(effort: Effort) -> None:
    def check(text: str, limits: ChunkLimits) -> None:
        clean = clean_text(text, tags=TAGS, all_tags=ALL_EMOTION_TAGS)
        plan = plan_chunks(text, tags=TAGS, limits=limits, front_end=ASCII_FRONT_END)
        is_empty = ascii_duration_sec(clean.text) == 0.0
        assert plan.is_empty == is_empty
        chunks = [chunk.text for chunk in iter(plan.next_chunk, None)]
        assert (not chunks) == is_empty
        assert plan.next_chunk() is None
        # One more for the full stop that is added to an end without one.
        assert max(map(len, chunks), default=0) <= limits.chunk_max_chars + 1
        assert all(ascii_duration_sec(chunk) > 0.0 for chunk in chunks)
        num_spoken = sum(map(num_symbols, chunks))
        assert num_spoken + plan.num_dropped_symbols == num_symbols(clean.text)
        assert plan.num_dropped_tags == clean.num_dropped_tags + clean.num_dropped_control_tokens
        for chunk in chunks:
            chunk.encode()
            most_sec = limits.chunk_max_sec * SLACK_WITHOUT_PAUSE
            assert len(chunk) == 1 or ascii_duration_sec(chunk) <= most_sec

    effort.run(check, text=TEXTS, limits=LIMITS)


@efforts(quick=100, slow=2000)
def test_a_stream_speaks_or_counts_every_symbol_in_any_deltas(effort: Effort) -> None:
    def open_stream(limits: ChunkLimits) -> ChunkStream:
        return ChunkStream(tags=TAGS, limits=limits, front_end=ASCII_FRONT_END)

    def check(text: str, limits: ChunkLimits, places: list[int]) -> None:
        whole = open_stream(limits)
        prepared = [*whole.feed(text), *whole.flush()]
        chunks = [chunk.text for chunk in prepared]
        assert all(len(chunk) <= limits.chunk_max_chars + 1 for chunk in chunks)
        assert all(ascii_duration_sec(chunk) > 0.0 for chunk in chunks)
        # An unclosed bracket is dropped after a while, and the text inside it is spoken.
        if "<" not in text:
            clean = clean_text(text, tags=TAGS, all_tags=ALL_EMOTION_TAGS)
            num_spoken = sum(map(num_symbols, chunks))
            assert num_spoken + whole.num_dropped_symbols == num_symbols(clean.text)
        pieces = open_stream(limits)
        edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
        out: list[PreparedText] = []
        for start, end in zip(edges, edges[1:], strict=False):
            out += pieces.feed(text[start:end])
        assert [*out, *pieces.flush()] == prepared
        assert pieces.num_dropped_symbols == whole.num_dropped_symbols
        assert pieces.num_dropped_tags == whole.num_dropped_tags

    effort.run(check, text=TEXTS, limits=LIMITS, places=st.lists(st.integers(0, 5000), max_size=8))


@efforts(quick=100, slow=2000)
def test_flushes_lose_nothing(effort: Effort) -> None:
    def check(deltas: list[str]) -> None:
        stream = ChunkStream(tags=TAGS, limits=ChunkLimits(60, 10.0), front_end=ASCII_FRONT_END)
        chunks: list[PreparedText] = []
        for delta in deltas:
            chunks += [*stream.feed(delta), *stream.flush()]
        assert stream.flush() == []
        cleaned = [clean_text(each, tags=TAGS, all_tags=ALL_EMOTION_TAGS).text for each in deltas]
        num_expected = sum(map(num_symbols, cleaned))
        if not any("<" in delta for delta in deltas):
            assert (
                sum(num_symbols(chunk.text) for chunk in chunks) + stream.num_dropped_symbols
                == num_expected
            )

    effort.run(check, deltas=st.lists(PIECES, max_size=5))


# Markup that stays open, closes or nests, between pieces of text.
MARKUP = st.lists(
    st.sampled_from(
        ["<think>", "</THINK>", "<b>", "</b>", "<a href='", "'>", "<script>", "</script>", "<!--"]
        + [
            "&amp;",
            "&lt;",
            "&#3",
            "9;",
            "[",
            "](",
            ")",
            "https://a.com/",
            "```",
            "~~~",
            "\n",
            "\n\n",
        ]
        + [
            "*",
            "**",
            "_",
            "a*b",
            "nega-\n",
            "tive",
            "# ",
            "- ",
            "> ",
            "| ",
            "$",
            "\\(",
            "[1]",
            ":a:",
        ]
    )
    | PIECES,
    max_size=30,
).map("".join)


@efforts(quick=100, slow=2000)
def test_markup_in_any_deltas(effort: Effort) -> None:
    def open_stream(limits: ChunkLimits, markup: Markup) -> SpokenTextStream:
        return SpokenTextStream(tags=TAGS, limits=limits, front_end=ASCII_FRONT_END, markup=markup)

    def check(text: str, limits: ChunkLimits, places: list[int], markup: Markup) -> None:
        whole, pieces = open_stream(limits, markup), open_stream(limits, markup)
        edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
        out: list[PreparedText] = []
        for start, end in pairwise(edges):
            out += pieces.feed(text[start:end])
        assert [*out, *pieces.flush()] == [*whole.feed(text), *whole.flush()]
        assert pieces.num_left_out == whole.num_left_out
        try:
            plan = plan_spoken_text(
                text, tags=TAGS, limits=limits, front_end=ASCII_FRONT_END, markup=markup
            )
        except RequestError:
            return
        assert plan.num_left_out == whole.num_left_out

    effort.run(
        check,
        text=MARKUP,
        limits=LIMITS,
        places=st.lists(st.integers(0, 5000), max_size=8),
        markup=st.sampled_from(Markup),
    )


def check_prompt(builder: PromptBuilder, checkpoint: Checkpoint, chunk: PreparedText) -> None:
    template, layout = checkpoint.prompt, checkpoint.layout
    prompt = builder.build(chunk, checkpoint.default_voice)
    assert prompt.token_ids[: len(template.before)] == template.before
    assert prompt.token_ids[-len(template.after) :] == template.after
    ids = prompt.token_ids[len(template.before) : -len(template.after)]
    assert len(ids) == prompt.num_text_tokens
    forbidden = {*layout.stop_token_ids, *template.before, *template.after}
    assert not forbidden & set(ids)
    assert all(not layout.audio_token_base <= each < layout.audio_token_end for each in ids)
    assert all(each >= 0 for each in ids)
    assert 0.0 < chunk.expected_sec < len(chunk.text) + 1
    assert prompt.num_dropped_symbols >= 0


@efforts(quick=60, slow=1000)
def test_every_chunk_becomes_a_prompt(effort: Effort) -> None:
    builders = [(build_prompts(checkpoint), checkpoint) for checkpoint in (POCKET, ENGLISH)]
    limits = ChunkLimits(120, 10.0)

    def check(text: str) -> None:
        for builder, checkpoint in builders:
            tags = checkpoint.tags_of(checkpoint.default_voice)
            try:
                plan = plan_chunks(
                    text, tags=tags, limits=limits, front_end=front_end_of(checkpoint)
                )
            except RequestError:
                continue
            for chunk in iter(plan.next_chunk, None):
                check_prompt(builder, checkpoint, chunk)

    effort.run(check, text=TEXTS)


@efforts(quick=150, slow=3000)
def test_the_estimated_duration_is_in_range(effort: Effort) -> None:
    def check(text: str) -> None:
        clean = clean_text(text, tags=TAGS, all_tags=ALL_EMOTION_TAGS).text
        length_sec = estimate_duration_sec(clean)
        assert 0.0 <= length_sec <= 1.5 * len(clean)
        assert unicodedata.is_normalized("NFC", clean)

    effort.run(check, text=TEXTS)

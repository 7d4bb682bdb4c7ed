"""Text as a voice reads it: letters or phonemes, the stop at its end, and its expected duration."""

from dataclasses import dataclass, field, replace

import pytest

from orpheus_server.bench.client.texts import MEDIUM, SHORT
from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.chunking import ChunkLimits, plan_chunks
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.front_end import (
    LETTERS,
    SEC_PER_PHONEME,
    Ending,
    PhonemeFrontEnd,
    PreparedText,
)
from orpheus_server.text.phonemes import GruutPhonemizer, build_phonemizer
from tests.support.app import Spelled


@dataclass
class Echo:
    """Returns words as phonemes, but "lost" has none; records the texts of its calls."""

    texts: list[str] = field(default_factory=list)

    def phonemize(self, text: str) -> Spelled:
        self.texts.append(text)
        words = text.split()
        kept = tuple(word for word in words if word != "lost")
        return Spelled(kept, len(words) - len(kept))


def test_letters_are_unchanged() -> None:
    assert LETTERS.prepare("Hi there") == PreparedText(
        piece="Hi there",
        text="Hi there",
        spoken="Hi there",
        piece_sec=estimate_duration_sec("Hi there"),
        expected_sec=estimate_duration_sec("Hi there"),
    )


def test_a_stop_has_a_duration_but_does_not_count_towards_the_limit() -> None:
    assert LETTERS.prepare("Hi there", ".") == PreparedText(
        piece="Hi there",
        text="Hi there.",
        spoken="Hi there.",
        piece_sec=estimate_duration_sec("Hi there"),
        expected_sec=estimate_duration_sec("Hi there."),
    )


def test_phonemes_and_lost_words_are_counted() -> None:
    assert PhonemeFrontEnd(Echo()).prepare("h lost i", ",") == PreparedText(
        piece="h lost i",
        text="h lost i,",
        spoken="h i",
        piece_sec=2 * SEC_PER_PHONEME,
        expected_sec=2 * SEC_PER_PHONEME,
        num_lost_words=1,
    )


def test_text_without_phonemes_has_no_duration() -> None:
    assert PhonemeFrontEnd(Echo()).prepare("lost").expected_sec == 0.0


@pytest.mark.parametrize("text", ["h i", "h i ,", "h i —", "h i;", "h i: "])
def test_a_clause_mark_at_the_end_is_left_out(text: str) -> None:
    """The phonemizer always adds a full stop, and no training text has two stops in a row."""
    assert PhonemeFrontEnd(Echo()).prepare(text).spoken == "h i"


@pytest.mark.parametrize(
    ("piece", "stop", "text", "phonemized"),
    [
        ("He saw Dr", ".", "He saw Dr.", "He saw Dr."),
        ("He saw Dr", ",", "He saw Dr,", "He saw Dr"),
        ("He saw!", ".", "He saw!", "He saw!"),
        ("He saw,", ".", "He saw,", "He saw"),
        ("你好", ".", "你好。", "你好。"),
        ("你好", ",", "你好，", "你好，"),
    ],
)
def test_a_piece_is_phonemized_once_together_with_its_stop(
    piece: str, stop: str, text: str, phonemized: str
) -> None:
    echo = Echo()
    prepared = PhonemeFrontEnd(echo).prepare(piece, stop)
    assert (prepared.piece, prepared.text, echo.texts) == (piece, text, [phonemized])


@pytest.mark.parametrize(
    ("max_sentences", "spoken"),
    [
        (None, "a . b ! c ? d , e ."),
        (1, "a , b , c , d , e ."),
        (2, "a . b , c , d , e ."),
        (4, "a . b ! c ? d , e ."),
    ],
)
def test_a_stop_that_a_voice_would_take_for_the_end_is_a_comma(
    max_sentences: int | None, spoken: str
) -> None:
    """'"Stop!" he said.' is one sentence with two stops."""
    prepared = PhonemeFrontEnd(Echo(), max_sentences).prepare("a . b ! c ? d , e .")
    assert prepared.spoken == spoken
    assert prepared.expected_sec == len(spoken.split()) * SEC_PER_PHONEME


@pytest.mark.parametrize(
    ("piece", "stop", "can_end_text"),
    [("Yes", ".", True), ("Yes", ",", False), ("Yes,", ",", True), ("Yes", "", False)],
)
def test_which_pieces_can_end_a_text(piece: str, stop: str, can_end_text: bool) -> None:
    assert LETTERS.prepare(piece, stop).can_end_text is can_end_text


@pytest.mark.parametrize(
    ("piece", "stop", "ending"),
    [
        *(("Yes.", ".", Ending.SENTENCE), ("Yes!", ",", Ending.SENTENCE)),
        *(("Yes", ".", Ending.SENTENCE), ('"Yes?"', "", Ending.SENTENCE)),
        *(("你好。", "", Ending.SENTENCE), ("Well <laugh>", ".", Ending.SENTENCE)),
        *(("Yes,", ".", Ending.CLAUSE), ("(yes),", ",", Ending.CLAUSE), ("so:", "", Ending.CLAUSE)),
        *(("so —", ",", Ending.CLAUSE), ("你好，", "", Ending.CLAUSE), ("so -", "", Ending.CLAUSE)),
        # The comma is only for the model; the text has none there.
        *(("Yes", ",", Ending.WORD), ("你好", ",", Ending.WORD), ("Yes", "", Ending.WORD)),
    ],
)
def test_how_a_text_ends(piece: str, stop: str, ending: Ending) -> None:
    for front_end in (LETTERS, PhonemeFrontEnd(Echo())):
        prepared = front_end.prepare(piece, stop)
        assert prepared.ending is ending
        assert replace(prepared, ends_paragraph=True).ending is Ending.PARAGRAPH


@pytest.fixture(scope="module")
def gruut() -> GruutPhonemizer:
    return build_phonemizer("gruut/en-us")


POCKET_LIMITS = ChunkLimits(chunk_max_chars=82, chunk_max_sec=5.525)
ABBREVIATIONS = ("the Dr", "10 a.m", "the U.S", "Martin Jr")
TAILS = ("", ".", ",", "\n\n- and so on", f" {'你好' * 45}")
TEXTS = (
    *MEDIUM[:2],
    *(text.rstrip(".?") for text in SHORT[:4]),
    *(f"They read of {word}{tail}" for word in ABBREVIATIONS for tail in TAILS),
    *(f"{'They read it and use it, ' * 3}{word}" for word in ABBREVIATIONS),
)


@pytest.mark.parametrize("limits", [POCKET_LIMITS, ChunkLimits(20, 1.2)])
def test_the_phonemes_of_a_chunk_are_those_of_its_text(
    gruut: GruutPhonemizer, limits: ChunkLimits
) -> None:
    """A stop changes how words are read, so a chunk is phonemized with its final stop."""
    front_end = PhonemeFrontEnd(gruut)
    for text in TEXTS:
        plan = plan_chunks(text, tags=frozenset(), limits=limits, front_end=front_end)
        stream = ChunkStream(tags=frozenset(), limits=limits, front_end=front_end)
        for chunk in [*iter(plan.next_chunk, None), *stream.feed(text), *stream.flush()]:
            phonemes = gruut.phonemize(chunk.text.rstrip(" ,;:-–—"))
            assert chunk.spoken == " ".join(phonemes.symbols), chunk.text
            assert chunk.expected_sec == len(phonemes.symbols) * SEC_PER_PHONEME
            assert chunk.num_lost_words == phonemes.num_lost_words


@pytest.mark.parametrize(
    "text",
    [
        *('"Stop!" he said.', "“Is it late?” she asked.", "Wait... what is it?", "Yes.No.Fine."),
        *("We met the U.S. Congress.", "It was on the 24. Dezember.", "He (really?) left."),
        *("Hello.Hi.How are you", "It is e.g. this, i.e. That.", "One. Two. Three.", "so.And so"),
    ],
)
def test_a_voice_of_single_sentences_never_reads_a_stop_in_the_middle(
    gruut: GruutPhonemizer, text: str
) -> None:
    front_end = PhonemeFrontEnd(gruut, max_sentences=1)
    limits = replace(POCKET_LIMITS, max_sentences=1)
    plan = plan_chunks(text, tags=frozenset(), limits=limits, front_end=front_end)
    stream = ChunkStream(tags=frozenset(), limits=limits, front_end=front_end)
    spoken: list[str] = []
    for chunk in [*iter(plan.next_chunk, None), *stream.feed(text), *stream.flush()]:
        *symbols, last = chunk.spoken.split()
        assert not {".", "!", "?"} & set(symbols)
        assert last in (".", "!", "?")
        spoken += symbols
    # All of it is spoken, by each of the two.
    whole = [each for each in gruut.phonemize(text).symbols if each not in set("_.,!?")]
    assert [each for each in spoken if each not in set("_.,!?")] == 2 * whole


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Call the Dr", ["k ˈɔ l _ ð ə _ d ˈɑ k t ɚ ."]),
        ("At 10 a.m", ["ˈæ t _ t ˈɛ n _ ˈeɪ ˈɛ m ."]),
        (f"Call the Dr {'你好' * 45}", ["k ˈɔ l _ ð ə _ d ˈɑ k t ɚ ."]),
        ("Hello there, friend", ["h ɛ l ˈoʊ _ ð ˈɛ ɹ , f ɹ ˈɛ n d ."]),
    ],
)
def test_exact_phonemes_of_chunks(gruut: GruutPhonemizer, text: str, spoken: list[str]) -> None:
    plan = plan_chunks(
        text, tags=frozenset(), limits=POCKET_LIMITS, front_end=PhonemeFrontEnd(gruut)
    )
    assert [chunk.spoken for chunk in iter(plan.next_chunk, None)] == spoken

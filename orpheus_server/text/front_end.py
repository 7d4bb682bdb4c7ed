"""Front ends: prepare text as a voice reads it, letters or phonemes, and estimate its length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.english.normalising import spell_out
from orpheus_server.text.marks import CLAUSE_MARKS, CLOSERS, DASHES, STOPS
from orpheus_server.text.punctuation import add_stop

SEC_PER_PHONEME = 0.08
"""Measured on the bundled voice, for English; word marks and stops count as phonemes."""

_CLAUSE_ENDS = " ,;:-–—"
_FINAL_STOPS = frozenset(".!?")


class Ending(StrEnum):
    """What a chunk ends with, and so the pause after it."""

    WORD = "word"
    CLAUSE = "clause"
    SENTENCE = "sentence"
    PARAGRAPH = "paragraph"


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A piece of text that is ready for a prompt. It is prepared once, for all attempts.

    `text` is the piece plus the stop that was added to it, and `spoken` is what the model reads.
    `expected_sec` is the expected duration of `text`, 0 if the voice cannot say any of it.
    `piece_sec` excludes the pause of the added stop; limits are compared with it. `ends_paragraph`
    if another paragraph follows.
    """

    piece: str
    text: str
    spoken: str
    piece_sec: float
    expected_sec: float
    num_lost_words: int = 0
    ends_paragraph: bool = False

    @property
    def ending(self) -> Ending:
        """How the text ends; a comma that was added to a word is not the end of a clause."""
        if self.ends_paragraph:
            return Ending.PARAGRAPH
        mark = self.piece.rstrip(CLOSERS)[-1:] or "."
        if mark in CLAUSE_MARKS or mark in DASHES:
            return Ending.CLAUSE
        return Ending.SENTENCE if mark in STOPS or self.can_end_text else Ending.WORD

    @property
    def can_end_text(self) -> bool:
        """True if the piece needs no other stop to be the last one of its text."""
        return self.text == add_stop(self.piece, ".")


class FrontEnd(Protocol):
    """Prepares text for a voice. Callable from any thread."""

    @property
    def is_word(self) -> Callable[[str], bool] | None:
        """Looks a word up, in lower case; None without a dictionary."""

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        """Prepares a piece, and adds `stop` ("." or ",") to it if it ends in a word."""


@dataclass(frozen=True, slots=True)
class LetterFrontEnd:
    """Front end of voices that read letters: the text itself, or what `rewrite` makes of it."""

    estimate_sec: Callable[[str], float] = estimate_duration_sec
    rewrite: Callable[[str], str] = str
    is_word: None = None

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        text = add_stop(piece, stop) if stop else piece
        spoken = self.rewrite(text)
        expected_sec = self.estimate_sec(spoken)
        is_same = text == piece
        return PreparedText(
            piece=piece,
            text=text,
            spoken=spoken,
            piece_sec=expected_sec if is_same else self.estimate_sec(self.rewrite(piece)),
            expected_sec=expected_sec,
        )


LETTERS = LetterFrontEnd()

_SPELLED_OUT = LetterFrontEnd(rewrite=spell_out)


def front_end_for(front_end: FrontEnd, *, is_spelled_out: bool) -> FrontEnd:
    """Returns the voice's front end, or one that writes numbers, signs and units as words."""
    return _SPELLED_OUT if is_spelled_out else front_end


class Phonemized(Protocol):
    """Phonemes, word marks and stops of a text; empty if nothing in it can be spoken."""

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def num_lost_words(self) -> int: ...


class Phonemizer(Protocol):
    """Converts text to phonemes. It takes milliseconds per sentence, so call it in the pool."""

    def phonemize(self, text: str) -> Phonemized:
        """Returns the phonemes of a text."""


@dataclass(frozen=True, slots=True)
class PhonemeFrontEnd:
    """Front end of voices that read phonemes. Calls the phonemizer once per piece.

    `max_sentences` is the checkpoint's.
    """

    phonemizer: Phonemizer
    max_sentences: int | None = None
    is_word: Callable[[str], bool] | None = None

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        text = add_stop(piece, stop) if stop else piece
        # The phonemizer would add a full stop after a clause mark, but no training text has two
        # stops in a row. A full stop is kept because it changes words: "Dr" is read as "drive",
        # "Dr." as "doctor".
        phonemes = self.phonemizer.phonemize(text.rstrip(_CLAUSE_ENDS))
        symbols = phonemes.symbols
        if self.max_sentences is not None:
            symbols = _join_sentences(symbols, self.max_sentences)
        # The phonemes end in a stop with or without an added one.
        expected_sec = len(symbols) * SEC_PER_PHONEME
        return PreparedText(
            piece=piece,
            text=text,
            spoken=" ".join(symbols),
            piece_sec=expected_sec,
            expected_sec=expected_sec,
            num_lost_words=phonemes.num_lost_words,
        )


def _join_sentences(symbols: Sequence[str], max_sentences: int) -> tuple[str, ...]:
    """Makes commas of stops after which a voice would end, although its text goes on.

    Such stops are inside a quotation ("Stop!" he said) or an abbreviation.
    """
    ends = [at for at, symbol in enumerate(symbols[:-1]) if symbol in _FINAL_STOPS]
    surplus = set(ends[max_sentences - 1 :])
    return tuple("," if at in surplus else symbol for at, symbol in enumerate(symbols))

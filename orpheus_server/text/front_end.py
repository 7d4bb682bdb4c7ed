"""Front ends: what a voice reads of a piece of text, letters or phonemes, and how long it lasts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.punctuation import add_stop

SEC_PER_PHONEME = 0.08
"""English at an even pace, word marks and stops counted as phonemes (bundled voice, measured)."""

_CLAUSE_ENDS = " ,;:-–—"


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A piece of text that is ready for a prompt; it is prepared once, for all its attempts.

    `text` is the piece with the stop that was added to it, and `spoken` what the model reads.
    `expected_sec` is how long the text is expected to last, 0 if the voice cannot say any of it;
    `piece_sec` is the same without the added stop, which limits of length do not count.
    """

    piece: str
    text: str
    spoken: str
    piece_sec: float
    expected_sec: float
    num_lost_words: int = 0

    @property
    def can_end_text(self) -> bool:
        """Whether this piece would be prepared in the same way as the last one of its text."""
        return self.text == add_stop(self.piece, ".")


class FrontEnd(Protocol):
    """Prepares text for a voice; callable from any thread."""

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        """Prepares a piece, with `stop` ("." or ",") added to it if it ends in a word."""


@dataclass(frozen=True, slots=True)
class LetterFrontEnd:
    """For voices that read the text as it is."""

    estimate_sec: Callable[[str], float] = estimate_duration_sec

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        text = add_stop(piece, stop) if stop else piece
        return PreparedText(
            piece=piece,
            text=text,
            spoken=text,
            piece_sec=self.estimate_sec(piece),
            expected_sec=self.estimate_sec(text),
        )


LETTERS = LetterFrontEnd()


class Phonemized(Protocol):
    """A text as phonemes, word marks and stops; empty if nothing in the text can be spoken."""

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def num_lost_words(self) -> int: ...


class Phonemizer(Protocol):
    """Turns text into phonemes; slow, some milliseconds a sentence."""

    def phonemize(self, text: str) -> Phonemized:
        """The phonemes of a text."""


@dataclass(frozen=True, slots=True)
class PhonemeFrontEnd:
    """For voices that read phonemes: one call of the phonemizer for each piece."""

    phonemizer: Phonemizer

    def prepare(self, piece: str, stop: str = "") -> PreparedText:
        text = add_stop(piece, stop) if stop else piece
        # The phonemizer adds a full stop after a clause mark, and the training texts never have two
        # stops in a row. A full stop stays, because it changes words: "Dr" is drive, "Dr." doctor.
        phonemes = self.phonemizer.phonemize(text.rstrip(_CLAUSE_ENDS))
        # Phonemes always end in a stop, so the one that was added does not count twice.
        expected_sec = len(phonemes.symbols) * SEC_PER_PHONEME
        return PreparedText(
            piece=piece,
            text=text,
            spoken=" ".join(phonemes.symbols),
            piece_sec=expected_sec,
            expected_sec=expected_sec,
            num_lost_words=phonemes.num_lost_words,
        )

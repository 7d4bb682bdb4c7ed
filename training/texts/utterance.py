"""One utterance, and whether it is fit to be spoken."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from orpheus_server.text.phonemes import FINAL_STOPS, Phonemes
from training.texts.kinds import Kind

MIN_SYMBOLS = 2
# 12 seconds at the pace of the slowest speaker, pauses included.
MAX_SYMBOLS = 190
# Of a text that may still have so few symbols: spares phonemes for most of those that are too long.
MAX_CHARS = 240


class Phonemizer(Protocol):
    def phonemize(self, text: str) -> Phonemes:
        """Returns the phonemes of a text."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text with its phonemes, as the server would read it."""

    number: int
    speaker: str
    kind: Kind
    text: str
    symbols: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_sentences(sentences: Sequence[str], phonemizer: Phonemizer) -> tuple[str, ...] | None:
    """Returns the symbols of sentences in a row; None if they are too long or lose a word."""
    text = join(sentences)
    if len(text) > MAX_CHARS:
        return None
    phonemes = phonemizer.phonemize(text)
    if phonemes.num_lost_words or not MIN_SYMBOLS <= len(phonemes.symbols) <= MAX_SYMBOLS:
        return None
    return phonemes.symbols if phonemes.symbols[-1] in FINAL_STOPS else None


def join(sentences: Sequence[str]) -> str:
    return " ".join(sentences)

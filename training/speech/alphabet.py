"""From the phonemizer's symbols to the teacher's characters. Knows nothing of audio."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

STRESS_MARKS = "ˈˌ"
STOPS = ".,!?"
WORD_MARK = "_"

CHARACTERS = {
    "eɪ": "A",
    "aɪ": "I",
    "aʊ": "W",
    "ɔɪ": "Y",
    "oʊ": "O",
    "d͡ʒ": "ʤ",
    "t͡ʃ": "ʧ",
    "ɚ": "əɹ",
    "ɝ": "ɜɹ",
    "g": "ɡ",
    WORD_MARK: " ",
}
"""Symbols that the teacher writes otherwise."""

STRESSED = {"ɚ": "ɜɹ"}
"""The same for stressed ones: the teacher has two vowels for those of "bird" and "butter"."""


@dataclass(frozen=True, slots=True)
class Characters:
    """The teacher's characters of an utterance, and for each the index of its symbol."""

    text: str
    owners: tuple[int, ...]


def to_characters(symbols: Sequence[str], alphabet: Collection[str]) -> Characters | None:
    """Returns the characters, None if one is not in the teacher's alphabet.

    Each symbol has at least one character. The blank after a stop belongs to the stop.
    """
    pieces: list[tuple[str, int]] = []
    for index, symbol in enumerate(symbols):
        pieces += [(character, index) for character in _spell(symbol)]
        follower = symbols[index + 1] if index + 1 < len(symbols) else None
        if symbol in STOPS and follower is not None and follower not in (*STOPS, WORD_MARK):
            pieces.append((" ", index))
    if not all(character in alphabet for character, _ in pieces):
        return None
    return Characters("".join(text for text, _ in pieces), tuple(owner for _, owner in pieces))


def _spell(symbol: str) -> str:
    base = symbol.lstrip(STRESS_MARKS)
    stress = symbol[: len(symbol) - len(base)]
    if stress and base in STRESSED:
        return stress + STRESSED[base]
    return stress + CHARACTERS.get(base, base)

"""Estimates the duration of spoken text by script, and identifies CJK characters."""

import re
import unicodedata
from collections import Counter

from orpheus_server.text.cleaning import TAG

# Calm reading: English runs at about 15 letters a second, a Hindi letter or vowel sign is longer,
# and one Hangul syllable or CJK character is a whole syllable. If these are too low, audio is cut
# off at the token limit; if too high, a looping generation runs longer before the guard stops it.
LETTER_SEC = 1 / 15
INDIC_LETTER_SEC = 1 / 13
HANGUL_SYLLABLE_SEC = 0.17
CJK_CHARACTER_SEC = 0.22
# "7" is a word, and "%" or "€" is two syllables.
DIGIT_SEC = 0.30
SYMBOL_SEC = 0.40
# Most short words in capitals are spelled, one syllable per letter; NASA is an exception.
SPELLED_LETTER_SEC = 0.30
CLAUSE_PAUSE_SEC = 0.15
SENTENCE_PAUSE_SEC = 0.35
# Sighs and laughs of the released voices last about a second.
TAG_SEC = 1.0

_SPELLED = re.compile(r"(?<![^\W\d_])[A-ZÀ-ÖØ-ÞΑ-ΩЀ-Я]{2,5}(?![^\W\d_])")
# A stop or comma inside a number or a name (3.14, 1,000, example.com) is not a pause.
_SENTENCE_PAUSE = re.compile(r"[.!?…؟۔]+(?!\w)|[。！？｡।॥]+")
_CLAUSE_PAUSE = re.compile(r"[,;:،؛](?!\w)|[—–，、；：]")

_INDIC = ((0x0900, 0x0DFF),)
_HANGUL = ((0xAC00, 0xD7A3),)
CJK_RANGES = (
    (0x3041, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF),
)


def estimate_duration_sec(text: str) -> float:
    """Returns the expected seconds of speech, by the script of each character.

    A rough estimate for token limits and the runaway guard: voices differ by a third.
    """
    text, num_tags = TAG.subn(" ", text)
    spelled = _SPELLED.findall(text)
    letters = Counter(_SPELLED.sub(" ", text))
    return (
        TAG_SEC * num_tags
        + SPELLED_LETTER_SEC * sum(map(len, spelled))
        + SENTENCE_PAUSE_SEC * len(_SENTENCE_PAUSE.findall(text))
        + CLAUSE_PAUSE_SEC * len(_CLAUSE_PAUSE.findall(text))
        + sum(_character_sec(char) * num for char, num in letters.items())
    )


def is_cjk(char: str) -> bool:
    """Whether the character is an ideograph or kana, which are written without spaces."""
    return char.isalpha() and _is_in(char, CJK_RANGES)


def _character_sec(char: str) -> float:
    category = unicodedata.category(char)
    if category[0] in "LM" and _is_in(char, _INDIC):
        return INDIC_LETTER_SEC
    if category[0] == "N":
        return DIGIT_SEC
    if category[0] == "L":
        if is_cjk(char):
            return CJK_CHARACTER_SEC
        return HANGUL_SYLLABLE_SEC if _is_in(char, _HANGUL) else LETTER_SEC
    return SYMBOL_SEC if category in ("Sc", "Sm") or char in "%&@#°§" else 0.0


def _is_in(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(char) <= last for first, last in ranges)

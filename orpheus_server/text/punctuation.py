"""Stops at the ends of chunks and lines, and character counts by script.

Expects the output of `clean_text`. Where a text is cut is decided in splitting.py.
"""

import re
import unicodedata

from orpheus_server.text.duration import is_cjk

_MAX_VERSE_CHARS = 60
_LINE_END = re.compile(r"(\S)(\n+)(?=(\S))")
_CJK_STOPS = {".": "。", ",": "，"}
# An ideograph or a Hangul syllable lasts as long as three letters: 0.17 to 0.22 s, not 1/15 s.
_LETTERS_PER_WIDE_CHAR = 3


def add_stop(chunk: str, stop: str) -> str:
    """Adds a stop if the chunk ends in a word, which Orpheus might otherwise repeat or continue."""
    return chunk + _stop_like(chunk[-1], stop) if is_in_word(chunk[-1]) else chunk


def is_in_word(char: str) -> bool:
    """Whether the character belongs to a word and is not punctuation."""
    # Hindi words end in vowel signs, which are marks and not letters.
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def punctuate_lines(text: str, *, num_chars_before: int = 0) -> str:
    """Adds stops to the ends of headings, list items and verses, where a reader pauses.

    A line break inside a sentence (mail is wrapped at 72 characters) gets no stop: the line is long
    or the next one starts in lower case. `num_chars_before` is the number of characters of the
    first line that precede `text`.
    """

    def punctuate(match: re.Match[str]) -> str:
        line_start = text.rfind("\n", 0, match.start()) + 1 or -num_chars_before
        stop = _line_stop(match, num_chars=match.start() - line_start)
        return match[1] + stop + match[2]

    return _LINE_END.sub(punctuate, text)


def count_as_letters(num_letters: int, text: str) -> int:
    """Returns how many characters of a text like this one last as long as `num_letters`."""
    if text.isascii():
        return num_letters
    num_wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    num_units = len(text) + (_LETTERS_PER_WIDE_CHAR - 1) * num_wide
    return num_letters * len(text) // num_units


def _line_stop(match: re.Match[str], *, num_chars: int) -> str:
    if not is_in_word(match[1]):
        return ""
    if len(match[2]) > 1:
        return _stop_like(match[1], ".")
    goes_on = match[3].islower() or num_chars >= _MAX_VERSE_CHARS
    return "" if goes_on else _stop_like(match[1], ",")


def _stop_like(char: str, stop: str) -> str:
    return _CJK_STOPS[stop] if is_cjk(char) else stop

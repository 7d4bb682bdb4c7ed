"""How chunks end, whether the text is there at once or still comes: stops, and early first ends.

Takes what `clean_text` returns; where a chunk inside of a text ends is decided in splitting.py.
"""

import re
import unicodedata

from orpheus_server.text.duration import is_cjk

_MAX_VERSE_CHARS = 60
_LINE_END = re.compile(r"(\S)(\n+)(?=(\S))")
_CJK_STOPS = {".": "。", ",": "，"}
# An ideograph or a Hangul syllable lasts as long as three letters: 0.17 to 0.22 s against 1/15 s.
_LETTERS_PER_WIDE_CHAR = 3


def add_stop(chunk: str, stop: str) -> str:
    """The chunk with a stop: without one Orpheus reads it twice or goes on by itself."""
    return chunk + _stop_like(chunk[-1], stop) if is_in_word(chunk[-1]) else chunk


def is_in_word(char: str) -> bool:
    """Tell whether a text that ends with the character ends without any mark."""
    # Hindi words end in vowel signs, which are marks and no letters.
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def punctuate_lines(text: str, *, num_chars_before: int = 0) -> str:
    """Stops for the ends of headings, list items and verses, which are pauses to a reader.

    A line break inside of a sentence (mail is wrapped at 72 characters) is none: the line is long,
    `num_chars_before` of the first one being no longer there, or the next goes on in lower case.
    """

    def punctuate(match: re.Match[str]) -> str:
        line_start = text.rfind("\n", 0, match.start()) + 1 or -num_chars_before
        stop = _line_stop(match, num_chars=match.start() - line_start)
        return match[1] + stop + match[2]

    return _LINE_END.sub(punctuate, text)


def count_as_letters(num_letters: int, text: str) -> int:
    """How many characters of such a text last as long as so many letters."""
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

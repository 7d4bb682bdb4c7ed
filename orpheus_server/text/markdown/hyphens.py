"""Words that a line break has divided: whether the hyphen belongs to the word."""

import re
from collections.abc import Callable

# Longer words are not looked up.
MAX_WORD_CHARS = 40

_LAST_WORD = re.compile(r"(?:[^\W\d_]|[-'’](?=[^\W\d_]))+\Z")
# "short- and long-term" has the hyphen in place of a word.
_CONJUNCTIONS = frozenset(("and", "or", "to", "und", "oder", "bis", "et", "ou", "och", "en", "of"))
# First words of compounds that are seldom the beginning of another word.
_FIRST_WORDS = frozenset(
    ("well", "self", "long", "short", "high", "half", "full", "cross", "non", "one", "two", "three")
) | frozenset(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"))


def join_lines(
    before: str, mark: str, after: str, *, is_word: Callable[[str], bool] | None
) -> str | None:
    """Returns what replaces a hyphen and the line break after it, None if both stay.

    `before` is the text up to the hyphen, and `after` the word that follows. `is_word` looks a
    lower-case word up. Without it, only the first words of common compounds keep their hyphen.
    """
    found = _LAST_WORD.search(before[-MAX_WORD_CHARS:])
    first = found[0].lower() if found else ""
    if mark == "\xad" or (first and is_word is not None and is_word(first + after)):
        return ""
    if after in _CONJUNCTIONS:
        return None
    if not first or not after[0].islower() or "-" in first:
        return "-"
    if is_word is None:
        is_compound = len(first) == 1 or first in _FIRST_WORDS
    else:
        is_compound = is_word(first) and is_word(after)
    return "-" if is_compound else ""

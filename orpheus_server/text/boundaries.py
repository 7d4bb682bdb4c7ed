"""Rates the points at which a text could be cut, by the pause that a reader makes there.

Finds the words of many scripts and what opens a line; word_breaks.py rates the point between two
words. splitting.py decides where to cut.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, islice, tee

from orpheus_server.text.cleaning import TAG, has_letter_or_digit
from orpheus_server.text.glued_stops import find_glued_ends, find_unfinished
from orpheus_server.text.marks import BEFORE_WORD, CJK_CLOSERS, CLOSERS, DASHES, OPENERS, STOPS
from orpheus_server.text.word_breaks import BreakStrength, needs_whole_word, rate_break

# Stops of scripts that put no space after them.
_INNER_BREAK = re.compile(rf"[。！？｡।॥]+[{re.escape(CJK_CLOSERS)}]*|[，、；：](?!\d)")
_WORD = re.compile(rf"(?:{TAG.pattern}|\S)+")
_OPENING_WORD = re.compile(rf"(?:{TAG.pattern})+|\(?(?:\d{{1,3}}|[IVX]{{1,5}})[.)]")
_BREAKS = {"\n": BreakStrength.LINE, "\n\n": BreakStrength.PARAGRAPH}


class BreakPoints:
    """A text with single spaces, and the points between its words.

    Points are rated lazily, so that the first chunk does not wait for all of a long text.
    """

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        # For each strength, the sorted points of at least that strength.
        self._cuts: dict[BreakStrength, list[int]] = {level: [] for level in BreakStrength}
        self._points = _rate_points(text)
        self._num_rated_chars = 0

    def nearest(self, level: BreakStrength, target: float, low: int, high: int) -> int | None:
        """Returns the point of at least `level` in `low` to `high` that is nearest to `target`."""
        while self._num_rated_chars < high and self._rate_next():
            pass
        cuts = self._cuts[level]
        first, end = bisect_left(cuts, low), bisect_right(cuts, high)
        index = bisect_left(cuts, target, first, max(first, end))
        near = cuts[max(first, index - 1) : min(end, index + 1)]
        return min(near, key=lambda cut: abs(cut - target), default=None)

    def first_from(self, level: BreakStrength, low: int, high: int | None = None) -> int:
        """Returns the first point of at least `level` in `low` to `high`, or the text's end."""
        high = len(self.text) if high is None else high
        cuts = self._cuts[level]
        while not (cuts and cuts[-1] >= low) and self._num_rated_chars < high:
            if not self._rate_next():
                break
        index = bisect_left(cuts, low)
        return cuts[index] if index < len(cuts) and cuts[index] <= high else len(self.text)

    def _rate_next(self) -> bool:
        """Rates one more point; returns False if there is none."""
        point = next(self._points, None)
        if point is None:
            return False
        self._num_rated_chars, strength = point
        for level in tuple(BreakStrength)[: strength + 1]:
            self._cuts[level].append(self._num_rated_chars)
        return True


def count_sentences(text: str) -> int:
    """Counts the ends of sentences, including one at the end of the text; clauses do not count."""
    breaks = BreakPoints(text)
    end = len(breaks.text)
    num, cut = 0, breaks.first_from(BreakStrength.SENTENCE, 1)
    while cut < end:
        num += 1
        cut = breaks.first_from(BreakStrength.SENTENCE, cut + 1)
    return num + (breaks.text.rstrip(CLOSERS)[-1:] in tuple(STOPS))


def find_uncertain(text: str) -> int:
    """Returns where the point is whose rating may change if more of the last word arrives.

    Expects single spaces. Returns the length of the text if all ratings are certain.
    """
    start = text.rfind(" ") + 1
    unfinished = find_unfinished(text[start:])
    if unfinished is not None:
        return start + unfinished
    word = text[start:].lstrip(BEFORE_WORD)
    previous = text[text.rfind(" ", 0, max(0, start - 1)) + 1 : max(0, start - 1)]
    if word.isalpha() and word[0].isupper() and needs_whole_word(previous):
        return start - 2
    return len(text)


def _rate_points(text: str) -> Iterator[tuple[int, BreakStrength]]:
    """Yields each point between two words, as an index with single spaces, and its strength."""
    pieces, rated = tee(_find_pieces(text))
    offset = 0
    for (gap, piece), strength in zip(pieces, _rate(rated), strict=False):
        offset += bool(gap) + len(piece)
        yield offset, strength


def _find_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yields each word with the white space before it: "", " ", a newline or a blank line."""
    end = 0
    for word in _WORD.finditer(text):
        num_newlines = text.count("\n", end, word.start())
        gap = ("\n" * min(num_newlines, 2) or " ") if end else ""
        end = word.end()
        content = " ".join(word[0].split())
        start = 0
        for cut in _find_inner_cuts(content, opens_line=gap != " "):
            yield (gap if start == 0 else ""), content[start:cut]
            start = cut
        yield (gap if start == 0 else ""), content[start:]


def _find_inner_cuts(word: str, *, opens_line: bool) -> Iterable[int]:
    """Returns where sentences and clauses end inside a word."""
    cuts = [inner.end() for inner in _INNER_BREAK.finditer(word) if inner.end() < len(word)]
    glued_ends = find_glued_ends(word, opens_line=opens_line)
    return sorted({*cuts, *glued_ends}) if cuts else glued_ends


def _rate(pieces: Iterable[tuple[str, str]]) -> Iterator[BreakStrength]:
    """Yields how well the text can be cut after each piece but the last.

    Punctuation and emoji on their own stay with a neighbour. A tag or list number that opens a
    sentence stays with it, so that it neither ends the previous chunk nor becomes its own chunk.
    """
    is_opening = True
    inherited = BreakStrength.GLUED
    lefts, rights, followings = tee(pieces, 3)
    for (_, left), (gap, right), (next_gap, following) in zip(
        lefts, islice(rights, 1, None), chain(islice(followings, 2, None), [("", "")]), strict=False
    ):
        is_mute = not has_letter_or_digit(left)
        if is_opening and (is_mute or (gap == " " and _OPENING_WORD.fullmatch(left))):
            yield BreakStrength.GLUED
            continue
        strength = rate_break(left, right, at_least=inherited if is_mute else BreakStrength.GLUED)
        inherited = strength = max(strength, _BREAKS.get(gap, BreakStrength.GLUED))
        is_opening = strength >= BreakStrength.LINE
        if not has_letter_or_digit(right):
            # A bullet or the dash of a dialogue line belongs to the text after it; "***" does not.
            is_bullet = next_gap == " " and (gap in _BREAKS or not right.strip(DASHES))
            opens = right[0] in OPENERS or (is_opening and is_bullet)
            is_opening = opens and has_letter_or_digit(following)
            if not is_opening:
                strength = BreakStrength.GLUED
        yield strength

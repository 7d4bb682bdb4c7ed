"""Rates the points at which a text could be cut, by the pause that a reader makes there.

Covers punctuation, abbreviations, quotes and tags of many scripts. splitting.py decides where to
cut.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import chain, islice, tee

from orpheus_server.text.cleaning import TAG, has_letter_or_digit


class BreakStrength(IntEnum):
    """How well a text can be cut at a break point; GLUED is the last resort."""

    GLUED = 0
    SPACE = 1
    CLAUSE = 2
    LINE = 3
    SENTENCE = 4
    PARAGRAPH = 5


_QUOTES = "\"'“”„‘’«»‹›「」『』"
_OPENERS = "“‘«‹„([{「『【〈《（［¿¡"
# German closes with “ and «, so any quotation mark at the end of a word may be a closing one.
_CLOSERS = _QUOTES + ")]}】〉》）］"
_CJK_CLOSERS = "\"'”’」』)]}】〉》）］"
_BEFORE_WORD = _QUOTES + _OPENERS
STOPS = ".!?…。！？｡।॥؟۔"
_CLAUSE_MARKS = ",;:—–،؛，、；："
_DASHES = "-–—"
# Stops of scripts that put no space after them.
_INNER_BREAK = re.compile(rf"[。！？｡।॥]+[{re.escape(_CJK_CLOSERS)}]*|[，、；：](?!\d)")
_WORD = re.compile(rf"(?:{TAG.pattern}|\S)+")
_OPENING_WORD = re.compile(rf"(?:{TAG.pattern})+|\(?(?:\d{{1,3}}|[IVX]{{1,5}})[.)]")
_LAST_TAG = re.compile(rf"{TAG.pattern}$")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")

# Abbreviations whose full stop does not end a sentence.
_ABBREVIATION = re.compile(
    "mr|mrs|ms|mx|dr|prof|st|jr|sr|vs|e.g|i.e|inc|ltd|co|corp|approx|dept|est|fig|cf|"
    "gen|col|sen|rep|gov|sgt|lt|capt|rev|hon|mt|blvd|lbs|hrs|"
    "z.b|d.h|u.a|bzw|bspw|ggf|evtl|ca|nr|hr|fr|mme|mlle|sra|srta|dra|ud|uds".replace(".", r"\.")
)
# Only before a number: "No. 7" but not the answer "No. I will not."; "Dec. 3" but not "the dec."
_NUMBER_ABBREVIATION = re.compile(
    "no|nos|vol|p|pp|ch|sec|art|abb|bd|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
_SHORT_NUMBER = re.compile(r"\d{1,2}")
# These end a sentence if a capital follows.
_CLOSING_ABBREVIATION = re.compile(r"etc|a\.m|p\.m|usw")
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
    return num + (breaks.text.rstrip(_CLOSERS)[-1:] in tuple(STOPS))


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
        for inner in _INNER_BREAK.finditer(content):
            if inner.end() < len(content):
                yield (gap if start == 0 else ""), content[start : inner.end()]
                start = inner.end()
        yield (gap if start == 0 else ""), content[start:]


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
        strength = _rate_words(left, right, at_least=inherited if is_mute else BreakStrength.GLUED)
        inherited = strength = max(strength, _BREAKS.get(gap, BreakStrength.GLUED))
        is_opening = strength >= BreakStrength.LINE
        if not has_letter_or_digit(right):
            # A bullet or the dash of a dialogue line belongs to the text after it; "***" does not.
            is_bullet = next_gap == " " and (gap in _BREAKS or not right.strip(_DASHES))
            opens = right[0] in _OPENERS or (is_opening and is_bullet)
            is_opening = opens and has_letter_or_digit(following)
            if not is_opening:
                strength = BreakStrength.GLUED
        yield strength


def _rate_words(left: str, right: str, *, at_least: BreakStrength) -> BreakStrength:
    """Returns how well a text can be cut between the end of one word and the start of another."""
    left = _LAST_TAG.sub("", left)
    core = left.rstrip(_CLOSERS)
    strength = max(_rate_ending(core, right), at_least)
    if strength > BreakStrength.SPACE and any(char in _QUOTES for char in left[len(core) :]):
        if right[0].islower():
            return BreakStrength.GLUED
        # In scripts without case, either "he said" or a new sentence may follow.
        if right[0].isalpha() and not right[0].isupper():
            return BreakStrength.CLAUSE
    return strength


def _rate_ending(word: str, right: str) -> BreakStrength:
    if word[-1:] in tuple(_CLAUSE_MARKS) or (word and not word.strip(_DASHES)):
        return BreakStrength.CLAUSE
    stem = word.rstrip(STOPS)
    stops = word[len(stem) :]
    first = right.lstrip(_BEFORE_WORD)[:1]
    if not stops:
        return BreakStrength.SPACE
    if stops == ".":
        return _rate_full_stop(stem.lstrip(_BEFORE_WORD), first)
    if not stops.strip(".…") and first.islower():
        return BreakStrength.CLAUSE
    return BreakStrength.SENTENCE


def _rate_full_stop(word: str, first: str) -> BreakStrength:
    """Rates a single full stop between `word` and a word that starts with `first`."""
    name = word.lower()
    # "I." ends a sentence ("So am I.") far more often than it is an initial.
    is_initial = len(word) == 1 and word.isalpha() and word != "I"
    if is_initial or _ABBREVIATION.fullmatch(name):
        return BreakStrength.GLUED
    if first.isdigit() and _NUMBER_ABBREVIATION.fullmatch(name):
        return BreakStrength.GLUED
    if _SHORT_NUMBER.fullmatch(word) and first.isalpha():
        # German ordinals are written like this: "am 24. Dezember".
        return BreakStrength.CLAUSE if first.isupper() else BreakStrength.GLUED
    if _CLOSING_ABBREVIATION.fullmatch(name):
        return BreakStrength.SENTENCE if first.isupper() else BreakStrength.SPACE
    if _ACRONYM.fullmatch(word):
        # "the U.S. The" and "the U.S. Army" look alike.
        return BreakStrength.CLAUSE if first.isupper() else BreakStrength.SPACE
    return BreakStrength.SENTENCE

"""Rates the places of a text where it could be cut, by what a reader would hear there.

Marks, abbreviations, quotes and tags of many scripts; where to cut is decided in splitting.py.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from orpheus_server.text import TAG, has_letter_or_digit


class Strength(IntEnum):
    """How well a place bears a cut; GLUED only serves when there is nothing better."""

    GLUED = 0
    SPACE = 1
    CLAUSE = 2
    LINE = 3
    SENTENCE = 4
    PARAGRAPH = 5


_QUOTES = "\"'“”„‘’«»‹›「」『』"
_OPENERS = "“‘«‹„([{「『【〈《（［¿¡"
# German closes with “ and «, so at the end of a word every quotation mark may close.
_CLOSERS = _QUOTES + ")]}】〉》）］"
_CJK_CLOSERS = "\"'”’」』)]}】〉》）］"
_BEFORE_WORD = _QUOTES + _OPENERS
_STOPS = ".!?…。！？｡।॥؟۔"
_CLAUSE_MARKS = ",;:—–،؛，、；："
_DASHES = "-–—"
# Scripts that put no space after a stop.
_INNER_BREAK = re.compile(rf"[。！？｡।॥]+[{re.escape(_CJK_CLOSERS)}]*|[，、；：](?!\d)")
_WORD = re.compile(rf"(?:{TAG.pattern}|\S)+")
_OPENING_WORD = re.compile(rf"(?:{TAG.pattern})+|\(?\d{{1,3}}[.)]")
_LAST_TAG = re.compile(rf"{TAG.pattern}$")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")

# Written with a full stop inside a sentence: what follows belongs to it.
_ABBREVIATION = re.compile(
    "mr|mrs|ms|mx|dr|prof|st|jr|sr|vs|e.g|i.e|inc|ltd|co|corp|approx|dept|est|fig|cf|"
    "gen|col|sen|rep|gov|sgt|lt|capt|rev|hon|mt|blvd|lbs|hrs|"
    "z.b|d.h|u.a|bzw|bspw|ggf|evtl|ca|nr|hr|fr|mme|mlle|sra|srta|dra|ud|uds".replace(".", r"\.")
)
# "No. 7" against the answer "No. I will not."; "Dec. 3" against "the dec."
_NUMBER_ABBREVIATION = re.compile(
    "no|nos|vol|p|pp|ch|sec|art|abb|bd|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec"
)
_SHORT_NUMBER = re.compile(r"\d{1,2}")
# These may also end a sentence, and then a capital follows.
_CLOSING_ABBREVIATION = re.compile(r"etc|a\.m|p\.m|usw")
_BREAKS = {"\n": Strength.LINE, "\n\n": Strength.PARAGRAPH}


@dataclass(frozen=True, slots=True)
class Layout:
    """A text with single spaces, and for each strength the sorted places of at least that."""

    text: str
    cuts: dict[Strength, list[int]]

    def nearest(self, level: Strength, target: float, low: int, high: int) -> int | None:
        """The place of at least `level` nearest to `target`, from `low` to `high` inclusive."""
        cuts = self.cuts[level]
        first, end = bisect_left(cuts, low), bisect_right(cuts, high)
        index = bisect_left(cuts, target, first, max(first, end))
        near = cuts[max(first, index - 1) : min(end, index + 1)]
        return min(near, key=lambda cut: abs(cut - target), default=None)

    def first_from(self, level: Strength, low: int) -> int:
        """The first place of at least `level` from `low` on; the end of the text if none is."""
        cuts = self.cuts[level]
        index = bisect_left(cuts, low)
        return cuts[index] if index < len(cuts) else len(self.text)


def lay_out(text: str) -> Layout:
    """Collapse white space and rate every place between two words."""
    pieces = list(_find_pieces(text))
    cuts: dict[Strength, list[int]] = {level: [] for level in Strength}
    offset = 0
    for (gap, piece), strength in zip(pieces, _rate(pieces), strict=False):
        offset += bool(gap) + len(piece)
        for level in tuple(Strength)[: strength + 1]:
            cuts[level].append(offset)
    return Layout("".join((" " if gap else "") + piece for gap, piece in pieces), cuts)


def _find_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield each word with the white space before it as "", " ", newline or blank line."""
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


def _rate(pieces: list[tuple[str, str]]) -> Iterator[Strength]:
    """Yield how well the text can be cut after each piece but the last.

    Punctuation and emoji on their own hold on to a neighbour, and so does a tag or list number that
    opens a sentence, lest it end the chunk before or be one of its own.
    """
    is_opening = True
    inherited = Strength.GLUED
    for index, ((_, left), (gap, right)) in enumerate(pairwise(pieces), start=2):
        is_mute = not has_letter_or_digit(left)
        if is_opening and (is_mute or (gap == " " and _OPENING_WORD.fullmatch(left))):
            yield Strength.GLUED
            continue
        strength = _rate_words(left, right, at_least=inherited if is_mute else Strength.GLUED)
        inherited = strength = max(strength, _BREAKS.get(gap, Strength.GLUED))
        is_opening = strength >= Strength.LINE
        if not has_letter_or_digit(right):
            # A bullet or the dash of a dialogue line belongs to what follows, "***" to nothing.
            next_gap, following = pieces[index] if index < len(pieces) else ("", "")
            is_bullet = next_gap == " " and (gap in _BREAKS or not right.strip(_DASHES))
            opens = right[0] in _OPENERS or (is_opening and is_bullet)
            is_opening = opens and has_letter_or_digit(following)
            if not is_opening:
                strength = Strength.GLUED
        yield strength


def _rate_words(left: str, right: str, *, at_least: Strength) -> Strength:
    """Return how well two neighbouring words can be parted, by what they end and begin with."""
    left = _LAST_TAG.sub("", left)
    core = left.rstrip(_CLOSERS)
    strength = max(_rate_ending(core, right), at_least)
    if strength > Strength.SPACE and any(char in _QUOTES for char in left[len(core) :]):
        if right[0].islower():
            return Strength.GLUED
        # Scripts without case do not show whether "he said" or a new sentence follows.
        if right[0].isalpha() and not right[0].isupper():
            return Strength.CLAUSE
    return strength


def _rate_ending(word: str, right: str) -> Strength:
    if word[-1:] in tuple(_CLAUSE_MARKS) or (word and not word.strip(_DASHES)):
        return Strength.CLAUSE
    stem = word.rstrip(_STOPS)
    stops = word[len(stem) :]
    first = right.lstrip(_BEFORE_WORD)[:1]
    if not stops:
        return Strength.SPACE
    if stops == ".":
        return _rate_full_stop(stem.lstrip(_BEFORE_WORD), first)
    if not stops.strip(".…") and first.islower():
        return Strength.CLAUSE
    return Strength.SENTENCE


def _rate_full_stop(word: str, first: str) -> Strength:
    """Return what a single full stop after `word` means before a word that begins with `first`."""
    name = word.lower()
    # "I." ends a sentence ("So am I.") far more often than it is an initial.
    is_initial = len(word) == 1 and word.isalpha() and word != "I"
    if is_initial or _ABBREVIATION.fullmatch(name):
        return Strength.GLUED
    if first.isdigit() and _NUMBER_ABBREVIATION.fullmatch(name):
        return Strength.GLUED
    if _SHORT_NUMBER.fullmatch(word) and first.isalpha():
        # German writes its ordinals so: "am 24. Dezember".
        return Strength.CLAUSE if first.isupper() else Strength.GLUED
    if _CLOSING_ABBREVIATION.fullmatch(name):
        return Strength.SENTENCE if first.isupper() else Strength.SPACE
    if _ACRONYM.fullmatch(word):
        # "the U.S. The" and "the U.S. Army" look alike.
        return Strength.CLAUSE if first.isupper() else Strength.SPACE
    return Strength.SENTENCE

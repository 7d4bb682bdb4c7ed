"""Cut a text into chunks, each one generation, where a reader would pause.

A cut in the wrong place is heard: an abbreviation read as a full stop, a laugh at the end of the
sentence before. Knows no voice; it takes what `clean_text` returns, and stands any other text.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, pairwise

from orpheus_server.text import MAX_TAG_CHARS, TAG, has_letter_or_digit, is_cjk


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
    "z.b|d.h|u.a|bzw|bspw|ggf|ca|nr|hr|fr|mme|mlle|sra|srta|dra|ud|uds".replace(".", r"\.")
)
# "No. 7" against the answer "No. I will not."
_NUMBER_ABBREVIATION = re.compile("no|nos|vol|p|pp|ch|sec|art")
# These may also end a sentence, and then a capital follows.
_CLOSING_ABBREVIATION = re.compile(r"etc|a\.m|p\.m|usw")
_BREAKS = {"\n": Strength.LINE, "\n\n": Strength.PARAGRAPH}
# Canonical combining class of the sign that ties two consonants of an Indic script together.
_VIRAMA = 9


def split_text(text: str, *, max_chars: int) -> list[str]:
    """Return the chunks of the text in order, each at most `max_chars` characters.

    Nothing is lost: only white space may differ. Only a word (or tag) longer than `max_chars` is
    cut inside, besides the places where a script without spaces ends a sentence or clause.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}, it must be at least 1")
    layout = _lay_out(text)
    chunks: list[str] = []
    start = 0
    while start < len(layout.text):
        end = _find_end(layout, start, max_chars)
        chunks.append(layout.text[start:end].rstrip())
        start = end + (layout.text[end : end + 1] == " ")
    return chunks


def split_in_two(text: str) -> tuple[str, str] | None:
    """Return the two most balanced halves at the best boundary, None where no cut makes sense.

    For the retry of a chunk that failed as a whole; both halves have something to say.
    """
    layout = _lay_out(text)
    length = len(layout.text)
    for low, high in ((length // 4, length - length // 4), (1, length - 1)):
        cuts = [
            layout.nearest(level, length / 2, low, high)
            for level in (Strength.SENTENCE, Strength.CLAUSE, Strength.SPACE)
        ]
        for cut in (*cuts, _nearest_cjk_cut(layout.text, low, high)):
            if cut is None:
                continue
            left, right = layout.text[:cut], layout.text[cut:].lstrip()
            if has_letter_or_digit(left) and has_letter_or_digit(right):
                return left, right
    return None


@dataclass(frozen=True, slots=True)
class _Layout:
    """A text with single spaces, and for each strength the sorted places of at least that."""

    text: str
    cuts: dict[Strength, list[int]]

    def nearest(self, level: Strength, target: float, low: int, high: int) -> int | None:
        cuts = self.cuts[level]
        first, end = bisect_left(cuts, low), bisect_right(cuts, high)
        index = bisect_left(cuts, target, first, max(first, end))
        near = cuts[max(first, index - 1) : min(end, index + 1)]
        return min(near, key=lambda cut: abs(cut - target), default=None)

    def first_from(self, level: Strength, low: int) -> int:
        cuts = self.cuts[level]
        index = bisect_left(cuts, low)
        return cuts[index] if index < len(cuts) else len(self.text)


def _find_end(layout: _Layout, start: int, max_chars: int) -> int:
    """Return where the chunk from `start` ends: whole sentences, and no tiny rest."""
    limit = start + max_chars
    # A heading shorter than a third joins the paragraph it announces.
    run_end = layout.first_from(Strength.PARAGRAPH, start + -(-max_chars // 3))
    if run_end <= limit:
        return run_end
    # The model speaks very short texts badly.
    min_chars = max_chars // 4
    sentence = layout.nearest(Strength.SENTENCE, limit, start + 1, limit)
    if sentence is not None and run_end - sentence <= min_chars:
        low, high = max(start + min_chars, run_end - max_chars), run_end - min_chars
        middle = (start + run_end) / 2
        for level in (Strength.SENTENCE, Strength.CLAUSE):
            balanced = layout.nearest(level, middle, low, min(high, limit))
            if balanced is not None:
                return balanced
        return sentence
    if sentence is not None and sentence - start >= min_chars:
        return sentence
    return _find_end_in_sentence(layout, start, max_chars, sentence)


def _find_end_in_sentence(
    layout: _Layout, start: int, max_chars: int, short_sentence: int | None
) -> int:
    """Return the cut that leaves even pieces of a sentence that does not fit.

    `short_sentence` is the end of a complete but tiny sentence at `start`, if there is one.
    """
    limit = start + max_chars
    sentence_end = layout.first_from(Strength.SENTENCE, limit + 1)
    num_pieces = -(-(sentence_end - start) // max_chars)
    target = start + (sentence_end - start) / num_pieces
    floor = start + max(max_chars // 4, 1)
    # Before this the rest would need one more piece.
    even = max(floor, sentence_end - (num_pieces - 1) * max_chars)
    options: list[tuple[Strength, int, float]] = [
        (level, low, target) for level in (Strength.LINE, Strength.CLAUSE) for low in (even, floor)
    ]
    if short_sentence is None or sentence_end - short_sentence > max_chars:
        short_sentence = None
        options.append((Strength.SPACE, even, target))
        options += [(level, start + 1, limit) for level in (Strength.SPACE, Strength.GLUED)]
    for level, low, aim in options:
        cut = layout.nearest(level, aim, low, limit)
        if cut is not None:
            return cut
    return short_sentence or _find_end_in_word(layout, start, max_chars)


def _find_end_in_word(layout: _Layout, start: int, max_chars: int) -> int:
    """Return a cut into even pieces of a word that does not fit, between whole characters."""
    limit = start + max_chars
    length = layout.first_from(Strength.GLUED, start + 1) - start
    target = start + -(-length // -(-length // max_chars))
    for tag in TAG.finditer(layout.text, start, target + MAX_TAG_CHARS):
        if start < tag.start() < target < tag.end():
            target = tag.start()
        elif tag.start() == start and target < tag.end() <= limit:
            return tag.end()
    candidates = chain(range(target, start, -1), range(target + 1, limit + 1))
    return next((cut for cut in candidates if _is_between(layout.text, cut)), limit)


def _is_between(text: str, cut: int) -> bool:
    """Tell whether the cut is between what a reader sees as two characters."""
    left, right = text[cut - 1], text[cut]
    is_flag = all("\U0001f1e6" <= char <= "\U0001f1ff" for char in (left, right))
    is_skin_tone = "\U0001f3fb" <= right <= "\U0001f3ff"
    is_conjunct = left in "\u200c\u200d" or unicodedata.combining(left) == _VIRAMA
    is_mark = right in "\u200c\u200d" or unicodedata.category(right)[0] == "M"
    return not (is_flag or is_skin_tone or is_conjunct or is_mark)


def _nearest_cjk_cut(text: str, low: int, high: int) -> int | None:
    masked = TAG.sub(lambda tag: " " * len(tag[0]), text)
    cuts = (
        cut for cut in range(max(low, 1), high + 1) if all(map(is_cjk, masked[cut - 1 : cut + 1]))
    )
    return min(cuts, key=lambda cut: abs(cut - len(text) / 2), default=None)


def _lay_out(text: str) -> _Layout:
    """Collapse white space and rate every place between two words."""
    pieces = list(_find_pieces(text))
    cuts: dict[Strength, list[int]] = {level: [] for level in Strength}
    offset = 0
    for (gap, piece), strength in zip(pieces, _rate(pieces), strict=False):
        offset += bool(gap) + len(piece)
        for level in tuple(Strength)[: strength + 1]:
            cuts[level].append(offset)
    return _Layout("".join((" " if gap else "") + piece for gap, piece in pieces), cuts)


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
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    if is_initial or _ABBREVIATION.fullmatch(name):
        return Strength.GLUED
    if first.isdigit() and _NUMBER_ABBREVIATION.fullmatch(name):
        return Strength.GLUED
    if _CLOSING_ABBREVIATION.fullmatch(name):
        return Strength.SENTENCE if first.isupper() else Strength.SPACE
    if _ACRONYM.fullmatch(word):
        # "the U.S. The" and "the U.S. Army" look alike.
        return Strength.CLAUSE if first.isupper() else Strength.SPACE
    return Strength.SENTENCE

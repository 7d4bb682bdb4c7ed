"""Cuts a text into chunks, one generation each, where a reader would pause.

A cut in the wrong place is audible: a pause after an abbreviation, or a laugh after the wrong
sentence. Independent of the voice. Expects the output of `clean_text`, but accepts any text.
"""

import unicodedata
from itertools import chain

from orpheus_server.text.boundaries import BreakPoints
from orpheus_server.text.cleaning import MAX_TAG_CHARS, TAG, has_letter_or_digit
from orpheus_server.text.duration import is_cjk
from orpheus_server.text.word_breaks import BreakStrength

# Canonical combining class of the sign that ties two consonants of an Indic script together.
_VIRAMA = 9


def split_text(text: str, *, max_chars: int) -> list[str]:
    """Returns the chunks of the text in order, each at most `max_chars` characters.

    No text is lost: only white space may differ. A word (or tag) is cut only if it is longer than
    `max_chars`, or where a script without spaces ends a sentence or clause.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}, it must be at least 1")
    breaks = BreakPoints(text)
    chunks: list[str] = []
    start = 0
    while start < len(breaks.text):
        end = find_end(breaks, start, max_chars)
        chunks.append(breaks.text[start:end].rstrip())
        start = skip_space(breaks, end)
    return chunks


def skip_space(breaks: BreakPoints, end: int) -> int:
    """Returns where the chunk after `end` starts."""
    return end + (breaks.text[end : end + 1] == " ")


def split_in_two(text: str) -> tuple[str, str] | None:
    """Returns the two most balanced halves at the best boundary, None if no cut makes sense.

    Used to retry a chunk that failed in one piece. Both halves have a letter or digit.
    """
    breaks = BreakPoints(text)
    length = len(breaks.text)
    for low, high in ((length // 4, length - length // 4), (1, length - 1)):
        cuts = [
            breaks.nearest(level, length / 2, low, high)
            for level in (BreakStrength.SENTENCE, BreakStrength.CLAUSE, BreakStrength.SPACE)
        ]
        for cut in (*cuts, _nearest_cjk_cut(breaks.text, low, high)):
            if cut is None:
                continue
            left, right = breaks.text[:cut], breaks.text[cut:].lstrip()
            if has_letter_or_digit(left) and has_letter_or_digit(right):
                return left, right
    return None


def split_at_pause(text: str, *, num_parts: int) -> list[str] | None:
    """Cuts a text that one generation is too short for: in two after a sentence, else a clause.

    The first half has `num_parts // 2` of the parts. None if the text has no such place.
    """
    breaks = BreakPoints(text)
    length = len(breaks.text)
    target = length * (num_parts // 2) / num_parts
    # A clause of a few words is not worth a generation, a sentence is.
    margin = length // (2 * num_parts)
    for level, low in ((BreakStrength.SENTENCE, 1), (BreakStrength.CLAUSE, max(1, margin))):
        cut = breaks.nearest(level, target, low, length - low)
        if cut is not None:
            halves = breaks.text[:cut], breaks.text[cut:].lstrip()
            if all(map(has_letter_or_digit, halves)):
                return list(halves)
    return None


def find_last_sentence_end(
    breaks: BreakPoints, start: int, high: int, max_sentences: int | None
) -> int:
    """Returns where the last of `max_sentences` from `start` ends; the text's end if after `high`.

    None is no limit.
    """
    end = start
    for _ in range(max_sentences or 0):
        end = breaks.first_from(BreakStrength.SENTENCE, end + 1, high)
        if end > high:
            break
    return end if max_sentences else len(breaks.text)


def find_end(breaks: BreakPoints, start: int, max_chars: int) -> int:
    """Returns where the chunk from `start` ends: after a sentence, without leaving a tiny rest."""
    limit = start + max_chars
    # The model speaks very short texts badly.
    min_chars = max_chars // 4
    # A heading shorter than a third joins the paragraph after it. The end of that paragraph matters
    # only if it could leave a tiny rest.
    run_end = breaks.first_from(
        BreakStrength.PARAGRAPH, start + -(-max_chars // 3), limit + min_chars
    )
    if run_end <= limit:
        # A last paragraph of a few words ("The end.") joins the one before it.
        length = len(breaks.text)
        is_tiny_rest = 6 * (length - run_end - 1) < max_chars and length <= limit
        return length if is_tiny_rest else run_end
    sentence = breaks.nearest(BreakStrength.SENTENCE, limit, start + 1, limit)
    if sentence is not None and run_end - sentence <= min_chars:
        low, high = max(start + min_chars, run_end - max_chars), run_end - min_chars
        middle = (start + run_end) / 2
        for level in (BreakStrength.SENTENCE, BreakStrength.CLAUSE):
            balanced = breaks.nearest(level, middle, low, min(high, limit))
            if balanced is not None:
                return balanced
        return sentence
    if sentence is not None and sentence - start >= min_chars:
        return sentence
    return _find_end_in_sentence(breaks, start, max_chars, sentence)


def _find_end_in_sentence(
    breaks: BreakPoints, start: int, max_chars: int, short_sentence: int | None
) -> int:
    """Returns a cut that divides a sentence that does not fit into even pieces.

    `short_sentence` is the end of a complete but tiny sentence at `start`, if there is one.
    """
    limit = start + max_chars
    sentence_end = breaks.first_from(BreakStrength.SENTENCE, limit + 1)
    num_pieces = -(-(sentence_end - start) // max_chars)
    target = start + (sentence_end - start) / num_pieces
    floor = start + max(max_chars // 4, 1)
    # With a cut before this point the rest would need one more piece.
    even = max(floor, sentence_end - (num_pieces - 1) * max_chars)
    options: list[tuple[BreakStrength, int, float]] = [
        (level, low, target)
        for level in (BreakStrength.LINE, BreakStrength.CLAUSE)
        for low in (even, floor)
    ]
    if short_sentence is None or sentence_end - short_sentence > max_chars:
        short_sentence = None
        options.append((BreakStrength.SPACE, even, target))
        options += [
            (level, start + 1, limit) for level in (BreakStrength.SPACE, BreakStrength.GLUED)
        ]
    for level, low, aim in options:
        cut = breaks.nearest(level, aim, low, limit)
        if cut is not None:
            return cut
    return short_sentence or find_end_in_word(breaks, start, max_chars)


def find_end_in_word(breaks: BreakPoints, start: int, max_chars: int) -> int:
    """Returns a cut that divides a word that is too long into even pieces of whole characters."""
    limit = start + max_chars
    length = breaks.first_from(BreakStrength.GLUED, start + 1) - start
    target = start + -(-length // -(-length // max_chars))
    for tag in TAG.finditer(breaks.text, start, target + MAX_TAG_CHARS):
        if start < tag.start() < target < tag.end():
            target = tag.start()
        elif tag.start() == start and target < tag.end() <= limit:
            return tag.end()
    candidates = chain(range(target, start, -1), range(target + 1, limit + 1))
    return next((cut for cut in candidates if _is_between(breaks.text, cut)), limit)


def _is_between(text: str, cut: int) -> bool:
    """Whether the cut is between what a reader sees as two characters."""
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

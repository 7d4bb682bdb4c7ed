"""Constructs of markup that no pattern finds: brackets in pairs, and what is left out at length.

All of them tell "not certain before more text has come" from "no such construct".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from orpheus_server.text.markdown.rules import LATIN, URL_CHARS, URL_END_CHARS

_MAX_DEPTH = 3
_MAX_URL_END_CHARS = 32
# A fence and the white space behind it.
_MAX_FENCE_CHARS = 80

_EDGES = {"[": re.compile(r"\\[^\n]?|[\[\]\n]"), "(": re.compile(r"\\[^\n]?|[()\n]")}
# "[read this](or not)" is prose: an address has no spaces, but for a title behind it.
_TARGET = re.compile(r"\s*(?:<[^<>]*>|[^\s<]*)(?:\s+[\"'(].*)?\s*")
# Sources are counted from one: "[0, 1]" is an interval, and "a[0]" an element.
_NOTE = re.compile(r"\^.*|[1-9]\d{0,2}(?:[,–-] ?[1-9]\d{0,2})*")
_ELEMENT_NAME = re.compile(r"[^\w\]][a-z]")
_GLUED = re.compile(rf"[{LATIN}_)\]]")
_LABEL = re.compile(r"!([A-Za-z]+)")
_URL_BODY = re.compile(
    rf"(?:[{URL_END_CHARS}]{{0,{_MAX_URL_END_CHARS}}}+(?![{URL_END_CHARS}])[{URL_CHARS}]"
    r"(?<=[!-~À-ɏ]))*+"
)
_URL_END = re.compile(rf"[{URL_END_CHARS}]{{0,{_MAX_URL_END_CHARS}}}")

# From the text, a place in it and whether it is all: the place after, and whether that is the end.
Skip = Callable[[str, int, bool], tuple[int, bool]]


class BracketKind(Enum):
    """What a pair of brackets is."""

    LINK = "its text is spoken"
    NOTE = "a footnote or source"
    CUT_LINK = "a link of which the address is too long to see its end"


@dataclass(frozen=True, slots=True)
class Brackets:
    """A pair of brackets that is markup, with its address."""

    kind: BracketKind
    text: str
    end: int


def find_brackets(text: str, start: int, stop: int, *, is_image: bool) -> Brackets | int | None:
    """The brackets that open at `start`, None if they are none of markup, `stop` if too short."""
    close = _find_close(text, start, stop)
    if close is None or close == stop:
        return close
    body, end = text[start + 1 : close], close + 1
    if end == stop:
        return stop
    is_note = _is_note(text, start, end)
    # "f[x](y)" and "a[i][j]" are code.
    is_glued = not is_image and _GLUED.match(text, start - 1) is not None
    is_link = False
    if text[end] == "(" or (text[end] == "[" and not is_note):
        second = _find_close(text, end, stop)
        if second == stop:
            return stop
        if second is not None and _is_target(text, end, second, is_glued=is_glued):
            is_link, end = True, second + 1
    if is_note:
        # In "So it is![1]" the mark is of the sentence.
        return None if is_image else Brackets(BracketKind.NOTE, "", end)
    if is_link:
        return Brackets(BracketKind.LINK, body, end)
    label = _LABEL.fullmatch(body)
    return Brackets(BracketKind.LINK, label[1], end) if label else None


def _is_note(text: str, start: int, end: int) -> bool:
    body = text[start + 1 : end - 1]
    if _NOTE.fullmatch(body) is None:
        return False
    if body[0] == "^":
        return True
    # A list of numbers with a space before it is one; and so is no source what ends a word of code.
    is_list = not body.isdecimal() and text[start - 1].isspace()
    is_element = text[end] == "`" or _ELEMENT_NAME.match(text, max(0, start - 2), start) is not None
    return not is_list and not is_element


def _is_target(text: str, start: int, end: int, *, is_glued: bool) -> bool:
    if text[start] == "[":
        return not is_glued
    is_address = _TARGET.fullmatch(text, start + 1, end) is not None
    return is_address and (not is_glued or any(mark in text[start:end] for mark in "./#"))


def find_cut_brackets(text: str, start: int, stop: int, *, is_image: bool) -> Brackets | None:
    """The same where nothing more is waited for."""
    whole = find_brackets(text[:stop] + "\n", start, stop + 1, is_image=is_image)
    if isinstance(whole, Brackets):
        return whole
    close = _find_close(text, start, stop)
    if close is None or not text.startswith("](http", close, stop):
        return None
    return Brackets(BracketKind.CUT_LINK, text[start + 1 : close], close + 2)


def skip_address(text: str, at: int, is_all: bool) -> tuple[int, bool]:
    """Skip what follows the name of a site; punctuation behind it is not of the address."""
    body = _URL_BODY.match(text, at)
    at = body.end() if body else at
    marks = _URL_END.match(text, at)
    num_marks = len(marks[0]) if marks else 0
    is_open = at + num_marks == len(text) and num_marks < _MAX_URL_END_CHARS
    return at, is_all or not is_open


def skip_target(text: str, at: int, is_all: bool) -> tuple[int, bool]:
    """Skip the address of a link and the bracket behind it."""
    at, is_done = skip_address(text, at, is_all)
    return at + (is_done and text.startswith(")", at)), is_done


def skip_to(closing: str) -> Skip:
    """Skip up to a text and that too; all, if it does not come."""

    def skip(text: str, at: int, is_all: bool) -> tuple[int, bool]:
        found = text.find(closing, at)
        if found >= 0:
            return found + len(closing), True
        return (len(text), True) if is_all else (max(at, len(text) - len(closing) + 1), False)

    return skip


def skip_code(fence: str) -> Skip:
    """Skip lines up to one that ends with as many marks, which models put behind code too."""

    def skip(text: str, at: int, is_all: bool) -> tuple[int, bool]:
        while (newline := text.find("\n", at)) >= 0:
            line = text[max(at, newline - _MAX_FENCE_CHARS) : newline]
            at = newline + 1
            if line.rstrip().endswith(fence):
                return at, True
        return (len(text), True) if is_all else (max(at, len(text) - _MAX_FENCE_CHARS), False)

    return skip


def _find_close(text: str, start: int, stop: int) -> int | None:
    """Where the bracket at `start` is closed, None if it is not, `stop` if that is not certain."""
    depth = 0
    opener = text[start]
    for edge in _EDGES[opener].finditer(text, start, stop):
        if edge[0] == "\n":
            return None
        if edge[0][0] == "\\":
            continue
        depth += 1 if edge[0] == opener else -1
        if depth == 0:
            return edge.start()
        if depth > _MAX_DEPTH:
            return None
    return stop

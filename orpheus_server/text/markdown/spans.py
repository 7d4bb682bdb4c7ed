"""Markup that patterns cannot match: nested brackets, and long constructs to skip.

Each function distinguishes "more text is needed" from "not such a construct".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from orpheus_server.text.markdown.rules import LATIN, URL_CHARS, URL_END_CHARS

_MAX_DEPTH = 3
_MAX_URL_END_CHARS = 32
# A fence and the white space after it.
_MAX_FENCE_CHARS = 80

_EDGES = {"[": re.compile(r"\\[^\n]?|[\[\]\n]"), "(": re.compile(r"\\[^\n]?|[()\n]")}
# "[read this](or not)" is prose: a URL has no spaces, except before a title.
_TARGET = re.compile(r"\s*(?:<[^<>]*>|[^\s<]*)(?:\s+[\"'(].*)?\s*")
# Sources are numbered from one: "[0, 1]" is an interval and "a[0]" an element.
_NOTE = re.compile(r"\^.*|[1-9]\d{0,2}(?:[,–-] ?[1-9]\d{0,2})*")
_ELEMENT_NAME = re.compile(r"[^\w\]][a-z]")
_GLUED = re.compile(rf"[{LATIN}_)\]]")
_HOST = re.compile(rf"[{LATIN}][{LATIN}._-]{{0,200}}")
_LABEL = re.compile(r"!([A-Za-z]+)")
_URL_BODY = re.compile(
    rf"(?:[{URL_END_CHARS}]{{0,{_MAX_URL_END_CHARS}}}+(?![{URL_END_CHARS}])[{URL_CHARS}]"
    r"(?<=[!-~À-ɏ]))*+"
)
_URL_END = re.compile(rf"[{URL_END_CHARS}]{{0,{_MAX_URL_END_CHARS}}}")

# Takes the text, a position and whether the text is complete. Returns the next position, and
# whether the skip is done.
Skip = Callable[[str, int, bool], tuple[int, bool]]


class BracketKind(Enum):
    """The meaning of a pair of brackets."""

    LINK = "its text is spoken"
    NOTE = "a footnote or source"
    CUT_LINK = "a link whose URL is too long to see its end"


@dataclass(frozen=True, slots=True)
class Brackets:
    """A pair of brackets that is markup, together with its URL."""

    kind: BracketKind
    text: str
    end: int
    has_address: bool = False


FindBrackets = Callable[[str, int, int], Brackets | int | None]


def find_brackets(
    text: str, start: int, stop: int, *, is_image: bool, has_sources: bool
) -> Brackets | int | None:
    """Returns the brackets that open at `start`, None if not markup, `stop` if text is missing.

    With `has_sources`, a number in brackets is a note.
    """
    close = _find_close(text, start, stop)
    if close is None or close == stop:
        return close
    body, end = text[start + 1 : close], close + 1
    if end == stop:
        return stop
    is_number = _is_note(text, start, end)
    is_note = is_number and (has_sources or body[0] == "^")
    # "f[x](y)" and "a[i][j]" are code.
    is_glued = not is_image and _GLUED.match(text, start - 1) is not None
    is_link = has_address = False
    if text[end] == "(" or (text[end] == "[" and not is_number):
        second = _find_close(text, end, stop)
        if second == stop:
            return stop
        if second is not None and _is_target(text, end, second, is_glued=is_glued):
            has_address = text[end] == "(" and second > end + 1
            is_link, end = True, second + 1
    if is_note:
        # In "So it is![1]" the exclamation mark belongs to the sentence.
        return None if is_image else Brackets(BracketKind.NOTE, "", end)
    if is_link:
        return Brackets(BracketKind.LINK, body, end, has_address)
    label = _LABEL.fullmatch(body)
    return Brackets(BracketKind.LINK, label[1], end) if label else None


def _is_note(text: str, start: int, end: int) -> bool:
    body = text[start + 1 : end - 1]
    if _NOTE.fullmatch(body) is None:
        return False
    if body[0] == "^":
        return True
    # A list of numbers after a space, and brackets after a word of code, are not sources.
    is_list = not body.isdecimal() and text[start - 1].isspace()
    is_element = text[end] == "`" or _ELEMENT_NAME.match(text, max(0, start - 2), start) is not None
    return not is_list and not is_element


def _is_target(text: str, start: int, end: int, *, is_glued: bool) -> bool:
    if text[start] == "[":
        return not is_glued
    is_address = _TARGET.fullmatch(text, start + 1, end) is not None
    return is_address and (not is_glued or any(mark in text[start:end] for mark in "./#"))


def find_cut_brackets(find: FindBrackets, text: str, start: int, stop: int) -> Brackets | None:
    """Returns the brackets if no more text can be waited for."""
    whole = find(text[:stop] + "\n", start, stop + 1)
    if isinstance(whole, Brackets):
        return whole
    close = _find_close(text, start, stop)
    if close is None or not text.startswith("](http", close, stop):
        return None
    return Brackets(BracketKind.CUT_LINK, text[start + 1 : close], close + 2, has_address=True)


def split_authority(text: str) -> tuple[str, str]:
    """Splits a URL up to its port into what is not spoken, which includes a login, and its host."""
    start = text.find("//") + 2 if "//" in text else 0
    start = max(start, text.rfind("@") + 1)
    host = _HOST.match(text, start)
    return text[:start], host[0].rstrip("._-") if host else ""


def skip_address(text: str, at: int, is_all: bool) -> tuple[int, bool]:
    """Skips the rest of a URL after its host, without the punctuation that follows."""
    body = _URL_BODY.match(text, at)
    at = body.end() if body else at
    marks = _URL_END.match(text, at)
    num_marks = len(marks[0]) if marks else 0
    is_open = at + num_marks == len(text) and num_marks < _MAX_URL_END_CHARS
    return at, is_all or not is_open


def skip_target(text: str, at: int, is_all: bool) -> tuple[int, bool]:
    """Skips the URL of a link and the closing bracket."""
    at, is_done = skip_address(text, at, is_all)
    return at + (is_done and text.startswith(")", at)), is_done


def skip_to(closing: str, *, may_outlast: bool = False) -> Skip:
    """Skips everything up to and including a text of any case, or to the end without it.

    With `may_outlast`, the skip is not done at the end of the text.
    """
    pattern = _closing_pattern(closing)

    def skip(text: str, at: int, is_all: bool) -> tuple[int, bool]:
        found = pattern.search(text, at)
        if found is not None:
            return found.end(), True
        if is_all:
            return len(text), not may_outlast
        return max(at, len(text) - len(closing) + 1), False

    return skip


def _closing_pattern(closing: str) -> re.Pattern[str]:
    return re.compile(re.escape(closing), re.IGNORECASE)


class ClosingSearch:
    """Finds the next closing text in a text that grows, and searches no part of it twice.

    `start` is the position from which it has not been searched yet.
    """

    def __init__(self, closing: str) -> None:
        self.start = 0
        self._num_chars = len(closing)
        self._pattern = _closing_pattern(closing)

    def find(self, text: str, start: int, stop: int) -> int | None:
        """Returns the end of the first closing text from `start` to `stop`, None without one."""
        start = max(start, self.start)
        found = self._pattern.search(text, start, stop)
        if found is not None:
            return found.end()
        self.start = max(start, min(stop, len(text)) - self._num_chars + 1)
        return None


def skip_code(fence: str) -> Skip:
    """Skips lines up to one that ends with the fence, which models also put after code."""

    def skip(text: str, at: int, is_all: bool) -> tuple[int, bool]:
        while (newline := text.find("\n", at)) >= 0:
            line = text[max(at, newline - _MAX_FENCE_CHARS) : newline]
            at = newline + 1
            if line.rstrip().endswith(fence):
                return at, True
        return (len(text), True) if is_all else (max(at, len(text) - _MAX_FENCE_CHARS), False)

    return skip


def _find_close(text: str, start: int, stop: int) -> int | None:
    """Returns where the bracket at `start` closes, None if nowhere, `stop` if text is missing."""
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

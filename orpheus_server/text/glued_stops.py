"""Finds ends of sentences that no space follows: "It is late.The next one".

Models that send text in pieces often leave the space out. A full stop between two words may as well
belong to an address, a file name, a version or code, which stay whole.
"""

import re
from collections.abc import Iterator

from orpheus_server.text.marks import BEFORE_WORD, CLOSERS, OPENERS
from orpheus_server.text.word_breaks import (
    CLOSING_ABBREVIATION,
    BreakStrength,
    rate_break,
    starts_sentence,
)

MAX_WORD_CHARS = 24
"""Characters on each side of a stop that decide. The bound keeps the time for "a.Ba.B" linear."""

_STOP = rf"(?<![.!?…])(?P<stop>[.!?…]++)(?P<closers>[{re.escape(CLOSERS)}]*+)"
_WORD = rf"[{re.escape(OPENERS)}]{{0,3}}+(?P<word>[^\W\d_][\w'’-]{{0,{MAX_WORD_CHARS - 1}}}+)"
_GLUED_STOP = re.compile(rf"{_STOP}(?={_WORD}(?P<after>.{{0,2}}))")
_UNFINISHED = re.compile(rf"{_STOP}{_WORD}.?\Z")

# An address, a path or code; the sentence before it may have ended.
_ADDRESS_MARK = re.compile(r"[@/\\_=<]|www\.", re.IGNORECASE)
_CODE_AFTER_WORD = re.compile(r"[(\[\\@_=<]|[.:]\w")
_DOTTED_NAME = re.compile(r"[^\W\d_]\.[^\W\d_]")
# Ends of addresses, file names and versions, also with a capital: "Node.Js", "v1.Beta".
_NAME_END = re.compile(
    "com|net|org|edu|gov|info|io|ai|app|dev|js|ts|jsx|tsx|py|java|rb|rs|md|txt|csv|json|xml|html|"
    "css|pdf|png|jpg|jpeg|gif|svg|mp3|wav|zip|exe|docx|xlsx|log|alpha|beta|rc|final"
)
# Words that are sentences of their own, as in "Fine.Yes.Good morning".
_INTERJECTION = re.compile(
    "fine|okay|ok|sure|good|great|nice|well|right|true|exactly|really|indeed|absolutely|maybe|"
    "perhaps|never|always|thanks|thank|hello|hi|hey|bye|goodbye|sorry|wow|oh|ah|ha|wait|stop|look|"
    "listen|come|go|see|done|ready|enough|welcome|bravo|ja|nein|doch|gut|danke|hallo"
)
_PLAIN_NUMBER = re.compile(r"[$€£¥]?\d+(?:[.,]\d+)*%?")
_ITEM_NUMBER = re.compile(r"\(?(?:\d{1,3}|[IVX]{1,5})\)?")
_AFTER_WORD = CLOSERS + "%°€$£¥*"


def find_glued_ends(word: str, *, opens_line: bool) -> Iterator[int]:
    """Yields the places in a word, which has no spaces, where a new sentence begins.

    `opens_line`: a number at the start of the word may be that of a list item.
    """
    start, address = 0, _ADDRESS_MARK.search(word)
    for stop in _GLUED_STOP.finditer(word):
        if address and stop.start() > address.start():
            return
        left = word[max(start, stop.start() - MAX_WORD_CHARS) : stop.start()]
        is_item = opens_line and start == 0 and _ITEM_NUMBER.fullmatch(word, 0, stop.start())
        if not is_item and _ends_sentence(left.lstrip(BEFORE_WORD), stop):
            start = stop.end()
            yield start


def find_unfinished(word: str) -> int | None:
    """Returns where a stop is whose meaning the next characters of the word decide, or None."""
    found = _UNFINISHED.search(word, max(0, len(word) - 2 * MAX_WORD_CHARS))
    return found.start() if found and found["word"][0].isupper() else None


def _ends_sentence(left: str, match: re.Match[str]) -> bool:
    """Whether a stop ends the sentence between `left` and the word of the match."""
    stop, word, after = match["stop"], match["word"], match["after"]
    if not word[0].isupper() or not left or not (left[-1].isalnum() or left[-1] in _AFTER_WORD):
        return False
    if not stop.strip(".…") and (
        _is_name(left)
        or (_CODE_AFTER_WORD.match(after) and not _goes_on(word, after))
        or not _is_start(left, word, after)
    ):
        return False
    return rate_break(left + stop + match["closers"], word) >= BreakStrength.SENTENCE


def _is_name(left: str) -> bool:
    """Whether a full stop after these characters is one more of a name like `java.util`."""
    return (
        _DOTTED_NAME.search(left) is not None
        and CLOSING_ABBREVIATION.fullmatch(left.lower()) is None
        and _NAME_END.fullmatch(left.rpartition(".")[2].lower()) is None
    )


def _goes_on(word: str, after: str) -> bool:
    """Whether the word is a sentence, or starts one, and another sentence is glued to it."""
    is_alone = _INTERJECTION.fullmatch(word.lower()) or starts_sentence(word)
    return after[0] == "." and after[1:].isupper() and bool(is_alone)


def _is_start(left: str, word: str, after: str) -> bool:
    """Whether the word after a full stop is written like the first one of a sentence."""
    if _NAME_END.fullmatch(word.lower()):
        return False
    if word[1:].islower():
        return True
    # "late.I" and "in 2024.NASA", but not "Ph.D", "v1.A" and "ASP.MVC".
    ends_word = left[-2:].isalpha() and left[-2:].islower()
    is_word = word in ("A", "I") if len(word) == 1 else word.isupper()
    return (
        is_word and after[:1] in ("", *",;:!?") and bool(ends_word or _PLAIN_NUMBER.fullmatch(left))
    )

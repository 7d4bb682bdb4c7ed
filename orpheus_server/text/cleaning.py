"""Cleans a caller's text before it is spoken: normalisation and emotion tags.

Independent of tokenizer and voice: the caller passes the tags. Markup is resolved before, in
markdown/. Splitting is in splitting.py.
"""

import re
import unicodedata
from dataclasses import dataclass

# A tag in the output of clean_text. The bound keeps the time for 30,000 "<" linear.
MAX_TAG_CHARS = 42
TAG = re.compile(r"<([^\W\d_][^<>\d\n.,;:!?\"]{0,39})>")

# Living orthographies stack up to four marks. More is "zalgo", which takes NFC O(n^2) time.
MAX_MARKS_PER_BASE = 8

# More of the same letter in a row says nothing more. Without a limit, "R" 900 times is cut into
# chunks as a word that is too long, and each of them is spoken.
MAX_SAME_LETTERS = 16
_LONG_RUN = re.compile(rf"([^\W\d_])\1{{{MAX_SAME_LETTERS},}}")

# Part of words in Devanagari and Persian, where removing them changes the spelling.
_JOINERS = "\u200c\u200d"
_LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_REMOVED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))
# Marks where something was dropped. Callers cannot send it: _printable makes it a space.
_DROPPED = "\x1f"

_AUDIO_TOKEN = re.compile(r"custom_token_\d+", re.IGNORECASE)
_MIN_TAG_LETTERS, _MAX_TAG_LETTERS = 3, 20


@dataclass(frozen=True, slots=True)
class CleanText:
    """Text that is ready for splitting, and counts of what was removed."""

    text: str
    num_dropped_tags: int
    num_dropped_control_tokens: int


def clean_text(
    text: str, *, tags: frozenset[str], all_tags: frozenset[str] = frozenset()
) -> CleanText:
    """Normalises the text and keeps only the emotion tags of this voice, as `<name>`.

    Control tokens of the tokenizer are dropped because they would end or corrupt a generation, and
    tags of `all_tags` that the voice lacks because they would be read aloud. Any other word in
    brackets stays as a word.
    """
    text = _LONG_RUN.sub(_shorten, text)
    # Excess marks are cut before NFC to bound its time, and after it because it can add marks.
    text = _printable(unicodedata.normalize("NFC", _printable(text)))
    text, num_tags, num_control_tokens = _resolve_tags(
        text, kept=_by_folded_name(tags), known=_by_folded_name(tags | all_tags)
    )
    text = re.sub(rf"[ {_DROPPED}]+", _gap, text)
    text = re.sub(r" ?\n ?", "\n", text)
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    return CleanText(text, num_tags, num_control_tokens)


def is_speakable(text: str, *, tags: frozenset[str]) -> bool:
    """Whether the text has a letter or digit, or one of the tags; anything else is silent."""
    kept = _by_folded_name(tags)
    if any(_fold(name) in kept for name in TAG.findall(text)):
        return True
    return has_letter_or_digit(TAG.sub(lambda m: "" if _is_tag_word(m[1]) else m[0], text))


def is_blank(text: str) -> bool:
    """Whether the text has only white space and characters that `clean_text` drops as invisible."""
    return all(char.isspace() or unicodedata.category(char) in _REMOVED_CATEGORIES for char in text)


def has_letter_or_digit(text: str) -> bool:
    """Whether the text has a letter or digit; the name of a tag counts."""
    return any(map(str.isalnum, text))


def may_be_drawn_out(char: str) -> bool:
    """Whether it is a letter of a script with upper and lower case; in others it may be a word."""
    return char.lower() != char.upper()


def _shorten(match: re.Match[str]) -> str:
    return match[0][:MAX_SAME_LETTERS] if may_be_drawn_out(match[1]) else match[0]


def _printable(text: str) -> str:
    """Drops invisible and unassigned characters and excess marks; unifies white space."""
    kept: list[str] = []
    num_marks = 0
    previous = ""
    text = text.replace("\r\n", "\n")
    for index, char in enumerate(text):
        category = unicodedata.category(char)
        if category[0] == "M":
            num_marks += 1
            if num_marks > MAX_MARKS_PER_BASE:
                continue
        elif char.isspace():
            char = "\n" if char in _LINE_BREAKS else " "
        elif category in _REMOVED_CATEGORIES:
            following = text[index + 1 : index + 2]
            if char not in _JOINERS or previous not in ("L", "M") or not following.isalpha():
                continue
        if category[0] not in ("M", "C"):
            num_marks = 0
        kept.append(char)
        previous = category[0]
    return "".join(kept)


def _resolve_tags(
    text: str, *, kept: dict[str, str], known: dict[str, str]
) -> tuple[str, int, int]:
    """Returns the text without foreign tags and control tokens, and the number of each.

    A stack resolves innermost brackets first, in one pass. The text around a dropped tag is joined
    and checked at the next ">", so no token can reassemble, at any depth.
    """
    out: list[str] = []
    opened: list[int] = []
    num_tags = num_control_tokens = 0
    for part in re.split("([<>])", text):
        if part != ">" or not opened:
            if part == "<":
                opened.append(len(out))
            out.append(part)
            continue
        start = opened.pop()
        body = "".join(out[start + 1 :])
        name = _fold(body)
        bare = _fold(body.removeprefix("/").removesuffix("/"))
        is_control_token = _is_control_token(body)
        if is_control_token or (name not in kept and bare in known):
            num_control_tokens += is_control_token
            num_tags += not is_control_token
            out[start:] = [_DROPPED]
            continue
        if name not in kept and _is_tag_word(name):
            # "Press <enter>": an ordinary word in brackets.
            out[start:] = [" ", body, " "]
            continue
        if name in kept:
            out[start:] = [f"<{kept[name]}>"]
        else:
            out.append(">")
        # Names contain no brackets, so the outer open brackets can no longer become tags.
        opened.clear()
    return "".join(out), num_tags, num_control_tokens


def _is_control_token(body: str) -> bool:
    is_special = len(body) > 1 and body[0] == body[-1] == "|"
    return is_special or _AUDIO_TOKEN.fullmatch(body) is not None


def _is_tag_word(name: str) -> bool:
    return _MIN_TAG_LETTERS <= len(name) <= _MAX_TAG_LETTERS and all(
        unicodedata.category(char)[0] in "LM" for char in name
    )


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()).casefold())


def _by_folded_name(names: frozenset[str]) -> dict[str, str]:
    return {_fold(name): name for name in names}


def _gap(match: re.Match[str]) -> str:
    # "Well <happy>." must not become "Well ."; French "Bravo !" keeps its own space.
    following = match.string[match.end() : match.end() + 1]
    return "" if _DROPPED in match[0] and following and following in ".,;:!?…" else " "

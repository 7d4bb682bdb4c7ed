"""`clean_text` for text that arrives in deltas: the joined output is that of the whole text.

Deltas may end anywhere, even inside a character, a tag or a control token. Text is passed on at
places that depend on the text alone, so the deltas make no difference.
"""

import re
import unicodedata
from collections.abc import Iterator

from orpheus_server.checkpoints.published import ALL_EMOTION_TAGS
from orpheus_server.text.cleaning import (
    MAX_SAME_LETTERS,
    CleanText,
    clean_text,
    may_be_drawn_out,
)

# Text after "<" that can still become a tag or a control token.
_OPEN_TAG = re.compile(r"\|.*|/?\w*/?|[^\d.,;:!?\"]*", re.DOTALL)
# Tags and tokens are far shorter.
_MAX_OPEN_CHARS = 256
# A longer word is passed on in pieces.
_MAX_WORD_CHARS = 64
# Waiting text is checked again only after it has grown by 1/8, which keeps the cost linear.
_WAIT_SHARE = 8
# Stands for the next word, because clean_text strips white space at the end.
_WORD = "x"


class CleanStream:
    """Passes on clean text up to the word that has just begun; waits while a tag is open."""

    def __init__(self, *, tags: frozenset[str]) -> None:
        self.num_dropped_tags = 0
        self._tags = tags
        self._raw: list[str] = []
        self._last_char = ""
        self._num_same = 0
        self._num_newlines = 0
        self._min_chars = 0

    def feed(self, delta: str) -> Iterator[tuple[str, str]]:
        """Yields clean text with the first character of the next word, or "" at a blank line."""
        for char in delta:
            self._num_same = self._num_same + 1 if char == self._last_char else 1
            self._last_char = char
            if self._num_same > MAX_SAME_LETTERS and may_be_drawn_out(char):
                # Counted here as well, because a long word is passed on in pieces.
                continue
            if char.isalnum():
                if self._can_split_before(char):
                    yield from self._pass_on(char)
                self._num_newlines = 0
            elif not char.isspace():
                self._num_newlines = 0
            self._raw.append(char)
            if char == "\n":
                self._num_newlines += 1
                if self._num_newlines == 2:
                    yield from self._pass_on("")

    def flush(self) -> str:
        """Returns the remaining text, including an open tag, and resets the stream."""
        clean = self._clean("")
        self._drop_raw(clean)
        self._last_char, self._num_same = "", 0
        return clean.text

    def _can_split_before(self, char: str) -> bool:
        """Returns whether normalisation cannot combine the text with this letter or digit."""
        if (
            not self._raw or "\u1160" <= char <= "\u11ff"
        ):  # combines with the Hangul letter before it
            return False
        previous = self._raw[-1]
        if previous.isalnum():
            return len(self._raw) >= _MAX_WORD_CHARS
        return previous.isspace() or unicodedata.category(previous)[0] not in "CM"

    def _pass_on(self, following: str) -> Iterator[tuple[str, str]]:
        if len(self._raw) < self._min_chars:
            return
        clean = self._clean(_WORD)
        text = clean.text[: -len(_WORD)]
        if _has_open_tag(text, following):
            self._min_chars = len(self._raw) + len(self._raw) // _WAIT_SHARE
            return
        self._drop_raw(clean)
        yield text, following

    def _clean(self, following: str) -> CleanText:
        text = "".join(self._raw) + following
        return clean_text(text, tags=self._tags, all_tags=ALL_EMOTION_TAGS)

    def _drop_raw(self, clean: CleanText) -> None:
        self.num_dropped_tags += clean.num_dropped_tags + clean.num_dropped_control_tokens
        self._raw.clear()
        self._num_newlines = self._min_chars = 0


def _has_open_tag(text: str, following: str) -> bool:
    # The innermost tag closes first. An outer tag can close only after the inner one was dropped.
    start = text.rfind("<")
    if start <= text.rfind(">") or len(text) - start > _MAX_OPEN_CHARS:
        return False
    return _OPEN_TAG.fullmatch(text + following, start + 1) is not None

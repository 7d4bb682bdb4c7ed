"""Reads a text that arrives in pieces, construct by construct.

Only the text around a place decides what it means, so it does not matter where the text was cut.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from orpheus_server.text.markdown import rules
from orpheus_server.text.markdown.effects import Effect
from orpheus_server.text.markdown.hyphens import MAX_WORD_CHARS
from orpheus_server.text.markdown.rules import Rule
from orpheus_server.text.markdown.spans import ClosingSearch, Skip, skip_to
from orpheus_server.text.markdown.writer import SpokenWriter

# A construct that is still open after this many characters is not markup.
MAX_OPEN_CHARS = 400
# Nor is a block that is spoken unless it is closed: some 2,000 words.
MAX_BLOCK_CHARS = 10_000
# How far the rules look back.
_NUM_CONTEXT_CHARS = MAX_WORD_CHARS + 1


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a text.

    `tags` are the emotion tags of the voice, in lower case, which stay. `is_chat` adds the habits
    of chat models. `is_word` looks up a word in lower case, if there is a dictionary.
    """

    tags: frozenset[str] = frozenset()
    is_chat: bool = False
    is_word: Callable[[str], bool] | None = None


class ConstructReader(ABC):
    """Finds the constructs of a text, except a last word or mark that may be incomplete.

    It waits only for a construct that is really open, and for at most `MAX_OPEN_CHARS` characters,
    or `MAX_BLOCK_CHARS` for a block that is spoken unless it is closed.
    """

    def __init__(self, dialect: Dialect, *, is_inside: bool, has_begun: bool) -> None:
        self.writer = SpokenWriter(reduces_marks=dialect.is_chat)
        self._dialect = dialect
        self._has_begun = has_begun
        self._buffer = " " if is_inside else "\n"
        self._at = len(self._buffer)
        self._is_end = False
        self._is_line_start = not is_inside
        # Skips a construct that is left out, however long it is.
        self._skip: Skip | None = None
        # The skip of a thought that opens the text.
        self._thought: Skip | None = None
        self._closings: dict[str, ClosingSearch] = {}

    @property
    def has_begun(self) -> bool:
        """True once a word was written, here or before this text."""
        return self._has_begun or self.writer.has_begun

    def read(self, text: str, *, is_end: bool) -> None:
        """Reads more text. At the end, an open construct is read as plain text."""
        self._buffer += text
        self._is_end = is_end
        while self._at < len(self._buffer) and self._go_on():
            pass
        start = max(0, self._at - _NUM_CONTEXT_CHARS)
        self._buffer = self._buffer[start:]
        self._at -= start
        for search in self._closings.values():
            search.start -= start

    @abstractmethod
    def _do(self, rule: Rule, match: re.Match[str]) -> bool:
        """Applies a rule. Returns False if it turns out not to apply."""

    @abstractmethod
    def _take_mark(self, char: str) -> bool:
        """Reads what no rule covers. Returns False if it may be incomplete."""

    @abstractmethod
    def _take_space(self, char: str) -> bool:
        """Reads white space."""

    def _go_on(self) -> bool:
        return self._skip_on(self._skip) if self._skip else self._step()

    def _skip_on(self, skip: Skip) -> bool:
        self._at, is_done = skip(self._buffer, self._at, self._is_end)
        if is_done:
            self._skip = None
        return is_done

    def _step(self) -> bool:
        """Reads the next word, mark or construct. Returns False if it may be incomplete."""
        char = self._buffer[self._at]
        if char.isspace():
            return self._take_space(char)
        self._stop = min(len(self._buffer), self._at + MAX_OPEN_CHARS)
        self._may_wait = not self._is_end and self._stop - self._at < MAX_OPEN_CHARS
        for at_line_start in (True, False)[not self._is_line_start :]:
            for rule in rules.rules_for(
                char, at_line_start=at_line_start, is_chat=self._dialect.is_chat
            ):
                if self._may_wait and rule.open.match(self._buffer, self._at, self._stop):
                    return False
                match = rule.full.match(self._buffer, self._at, self._stop)
                if match is None:
                    continue
                if rule.effect in (Effect.THOUGHT, Effect.CLOSED_BLOCK):
                    is_done = self._take_closed_block(rule, match)
                    if is_done is None:
                        continue
                    return is_done
                if self._do(rule, match):
                    return True
        return self._take_mark(char)

    def _take_closed_block(self, rule: Rule, match: re.Match[str]) -> bool | None:
        """Leaves out a block that is closed. Returns None for text, False if more is needed."""
        closing = rule.spoken(match)
        if rule.effect is Effect.THOUGHT and not self.has_begun:
            self.writer.leave_out()
            self._at = match.end()
            self._skip = self._thought = skip_to(closing, may_outlast=True)
            return True
        search = self._closings.setdefault(closing, ClosingSearch(closing))
        stop = self._at + MAX_BLOCK_CHARS
        end = search.find(self._buffer, match.end(), stop)
        if end is not None:
            self.writer.leave_out()
            self._at = end
            return True
        return None if self._is_end or len(self._buffer) >= stop else False

    def _move(self, end: int) -> bool:
        self._is_line_start = False
        self._at = end
        return True

    def _write(self, end: int) -> bool:
        self.writer.put(self._buffer[self._at : end])
        return self._move(end)

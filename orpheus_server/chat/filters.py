"""Filters for streamed answers: reasoning, stop strings, and whether there is a word yet."""

import re


class StopStringFilter:
    """Passes text through up to the stop string that is complete first.

    If two end at the same place, the longer one counts. The end of the text may be held back.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.is_stopped = False
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def feed(self, text: str) -> str:
        """Returns the text that precedes any stop string; empty after one was found."""
        if self.is_stopped:
            return ""
        text = self._held + text
        self._held = ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.is_stopped = True
            _, start = min(found)
            return text[:start]
        num_held = max((_num_open(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held]

    def flush(self) -> str:
        """Returns the text held back that did not become a stop string."""
        held, self._held = self._held, ""
        return "" if self.is_stopped else held


def _num_open(text: str, stop: str) -> int:
    """Returns how many characters at the end of the text may be the start of the stop string."""
    for num_chars in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:num_chars]):
            return num_chars
    return 0


class WordFinder:
    """Finds out whether text that arrives in deltas has a letter or digit outside of tags."""

    def __init__(self) -> None:
        self.has_word = False
        self._is_in_tag = False

    def feed(self, text: str) -> None:
        """Reads the next delta."""
        for char in text:
            if char in "<>":
                self._is_in_tag = char == "<"
            elif char.isalnum() and not self._is_in_tag:
                self.has_word = True
                return


_OPEN, _CLOSE = "<think>", "</think>"
_CLOSING = re.compile(_CLOSE, re.IGNORECASE)


class ThinkingFilter:
    """Removes `<think>...</think>` blocks of any case at the start of an answer.

    Qwen, DeepSeek and similar models write them, and some servers already send them separately. If
    the opening tag is part of the prompt, reasoning cannot be told apart from the answer.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False
        self._has_thought = False
        self._is_answering = False

    def feed(self, text: str) -> str:
        """Returns the text that certainly belongs to the answer."""
        if self._is_answering:
            return text
        text = self._held + text
        self._held = ""
        while True:
            if self._is_thinking:
                closing = _CLOSING.search(text)
                if closing is None:
                    # The longest possible start of the closing tag.
                    self._held = text[-len(_CLOSE) + 1 :]
                    return ""
                text = text[closing.end() :]
                self._is_thinking = False
            start = text.lstrip()
            opening = start[: len(_OPEN)].lower()
            if opening == _OPEN:
                text = start[len(_OPEN) :]
                self._is_thinking = self._has_thought = True
            elif len(start) < len(_OPEN) and _OPEN.startswith(opening):
                self._held = text
                return ""
            else:
                self._is_answering = True
                return start if self._has_thought else text

    def flush(self) -> str:
        """Returns the text held back that belongs to the answer."""
        held, self._held = self._held, ""
        if self._is_thinking:
            return ""
        return held.lstrip() if self._has_thought else held

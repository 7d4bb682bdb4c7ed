"""Takes the texts of control tokens out of what people write, however they are nested."""

import re
from collections.abc import Iterable


class ControlTokenFilter:
    """The texts that only a prompt format and the model itself may write."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(sorted({token for token in tokens if token.strip()}))
        self._longest = max(map(len, self.tokens), default=0)
        self._last_chars = frozenset(token[-1] for token in self.tokens)
        alternatives = "|".join(map(re.escape, self.tokens))
        self._pattern = re.compile(alternatives or r"(?!)")

    def remove(self, text: str) -> str:
        """The text without any of them, nor any that taking one out brings together.

        One pass: what is kept never ends in one of them, so a text of a million brackets that
        open one another costs no more than any other.
        """
        if self._pattern.search(text) is None:
            return text
        kept: list[str] = []
        for char in text:
            kept.append(char)
            if char not in self._last_chars:
                continue
            tail = "".join(kept[-self._longest :])
            if tail.endswith(self.tokens):
                longest = max(len(token) for token in self.tokens if tail.endswith(token))
                del kept[-longest:]
        return "".join(kept)

"""Removes the texts of control tokens from messages, however they are nested."""

import re
from collections.abc import Iterable


class ControlTokenFilter:
    """Removes texts that only the chat template and the model may write."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(sorted({token for token in tokens if token.strip()}))
        self._longest = max(map(len, self.tokens), default=0)
        self._last_chars = frozenset(token[-1] for token in self.tokens)
        alternatives = "|".join(map(re.escape, self.tokens))
        self._pattern = re.compile(alternatives or r"(?!)")

    def remove(self, text: str) -> str:
        """Returns the text without control tokens, including those that a removal would form.

        It takes one pass, because the text that is kept never ends in a control token. So a million
        nested brackets cost no more than any other text.
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

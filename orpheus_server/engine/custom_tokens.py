"""Reads token ids from text in which a server writes them as `<custom_token_N>`."""

import re

_TOKEN = re.compile(r"<custom_token_([0-9]{1,9})>")
_PREFIX = "<custom_token_"
_DIGITS = re.compile(r"[0-9]{0,9}")


class CustomTokenParser:
    """Parses text that is cut anywhere; `first_id` is the id of `<custom_token_0>`.

    `num_other_chars` counts the characters that are not part of a token.
    """

    def __init__(self, first_id: int) -> None:
        self._first_id = first_id
        self._held = ""
        self.num_other_chars = 0

    def feed(self, text: str) -> list[int]:
        """Returns the ids of the tokens that are complete, in order."""
        text = self._held + text
        ids, end = [], 0
        for token in _TOKEN.finditer(text):
            self.num_other_chars += token.start() - end
            ids.append(self._first_id + int(token[1]))
            end = token.end()
        rest = text[end:]
        start = rest.rfind("<")
        self._held = rest[start:] if start >= 0 and _is_beginning(rest[start:]) else ""
        self.num_other_chars += len(rest) - len(self._held)
        return ids

    def flush(self) -> None:
        """Counts an incomplete token at the end as other characters."""
        self.num_other_chars += len(self._held)
        self._held = ""


def _is_beginning(text: str) -> bool:
    """Returns whether the text may become a token."""
    if len(text) <= len(_PREFIX):
        return _PREFIX.startswith(text)
    return text.startswith(_PREFIX) and _DIGITS.fullmatch(text, len(_PREFIX)) is not None

"""The table of rules."""

import re

from orpheus_server.text.markdown.rules import CHAT_ROWS, INLINE_ROWS, LINE_ROWS
from tests.support.markup import MARKUP, PROSE


def test_every_rule_is_used() -> None:
    """A rule that matches no text of the tables has been superseded by another rule."""
    text = "\n".join([*(text for text, _ in MARKUP), *PROSE])
    for _, pattern, _ in (*LINE_ROWS, *CHAT_ROWS, *INLINE_ROWS):
        assert re.search("".join(pattern.split(" ")), text), pattern

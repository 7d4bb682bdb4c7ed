"""Turns text with markup into text to speak: resolves Markdown and HTML, and removes emoji.

Numbers and signs, whose reading depends on the language, are left to the voice.
"""

from orpheus_server.text.markdown.construct_reader import Dialect
from orpheus_server.text.markdown.reader import MarkdownReader


class MarkdownToSpeech:
    """Accepts deltas cut anywhere; the result depends on the text alone."""

    def __init__(self, dialect: Dialect) -> None:
        self._num_left_out = 0
        self._reader = MarkdownReader(dialect)

    @property
    def num_left_out(self) -> int:
        """Number of emoji, code blocks, addresses, notes and so on that were left out so far."""
        return self._num_left_out + self._reader.writer.num_left_out

    def feed(self, delta: str) -> str:
        """Returns the text that is certain so far."""
        self._reader.read(delta, is_end=False)
        return self._reader.writer.take()

    def flush(self) -> str:
        """Returns the rest, with open constructs as plain text. A new text may follow."""
        self._reader.read("", is_end=True)
        self._reader.writer.end()
        text = self._reader.writer.take()
        self._num_left_out = self.num_left_out
        self._reader = self._reader.continued()
        return text


def make_speakable(text: str, dialect: Dialect) -> str:
    """Converts a complete text."""
    stream = MarkdownToSpeech(dialect)
    return stream.feed(text) + stream.flush()

"""What a chat model writes as what can be spoken: its markup resolved, its pictures left out.

What the language decides, numbers and signs that have a word, is left to the voice.
"""

from orpheus_server.text.markdown.reader import MarkdownReader


class MarkdownToSpeech:
    """Takes deltas of any size, cut anywhere; what it lets through depends on the text alone.

    `tags` are those of the voice: they pass as they are.
    """

    def __init__(self, *, tags: frozenset[str]) -> None:
        self._tags = frozenset(tag.casefold() for tag in tags)
        self._num_left_out = 0
        self._reader = MarkdownReader(tags=self._tags)

    @property
    def num_left_out(self) -> int:
        """Pictures, blocks of code, notes and the like, so far."""
        return self._num_left_out + self._reader.writer.num_left_out

    def feed(self, delta: str) -> str:
        """The text that is certain now."""
        self._reader.read(delta, is_end=False)
        return self._reader.writer.take()

    def flush(self) -> str:
        """The rest, what is open as it is; what is fed then begins anew."""
        self._reader.read("", is_end=True)
        self._reader.writer.end()
        text = self._reader.writer.take()
        self._num_left_out = self.num_left_out
        self._reader = MarkdownReader(tags=self._tags)
        return text


def make_speakable(text: str, *, tags: frozenset[str] = frozenset()) -> str:
    """The whole text at once."""
    stream = MarkdownToSpeech(tags=tags)
    return stream.feed(text) + stream.flush()

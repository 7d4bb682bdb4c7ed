"""Text as callers send it, without its markup and cut into chunks: the way in of all text."""

from enum import Enum

from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.chunking import ChunkLimits, ChunkPlan, blank_text, plan_chunks
from orpheus_server.text.cleaning import is_blank
from orpheus_server.text.front_end import LETTERS, FrontEnd, PreparedText
from orpheus_server.text.markdown.construct_reader import Dialect
from orpheus_server.text.markdown.stream import MarkdownToSpeech


class Markup(Enum):
    """What is taken for markup in a text."""

    PLAIN = "plain"
    """Nothing."""

    AUTO = "auto"
    """Markdown and HTML."""

    CHAT = "chat"
    """The same, and the habits of chat models: sources like [1], :names: of emoji, XD."""


class SpokenTextStream:
    """Cuts text that arrives in deltas of any size into chunks, after its markup is resolved.

    The chunks depend only on the text and not on the deltas. `num_chars` have arrived; `is_blank`
    while none of them is visible.
    """

    def __init__(
        self,
        *,
        tags: frozenset[str],
        limits: ChunkLimits,
        front_end: FrontEnd = LETTERS,
        markup: Markup = Markup.AUTO,
    ) -> None:
        self.num_chars = 0
        self.is_blank = True
        self._layer = _open_layer(markup, tags, front_end)
        self._chunks = ChunkStream(tags=tags, limits=limits, front_end=front_end)

    @property
    def num_left_out(self) -> int:
        """Number of parts that were left out as markup, so far."""
        return self._layer.num_left_out if self._layer else 0

    @property
    def num_dropped_tags(self) -> int:
        """Number of dropped control tokens and tags that the voice lacks, so far."""
        return self._chunks.num_dropped_tags

    @property
    def num_dropped_symbols(self) -> int:
        """Number of letters and digits of parts that the voice cannot say, so far."""
        return self._chunks.num_dropped_symbols

    def feed(self, delta: str) -> list[PreparedText]:
        """Returns the chunks that are complete so far."""
        self.num_chars += len(delta)
        self.is_blank = self.is_blank and is_blank(delta)
        text = self._layer.feed(delta) if self._layer else delta
        return self._chunks.feed(text) if text else []

    def flush(self) -> list[PreparedText]:
        """Returns the remaining chunks. The next chunk will be a short first one again."""
        rest = self._layer.flush() if self._layer else ""
        return [*self._chunks.feed(rest), *self._chunks.flush()]


def plan_spoken_text(
    text: str,
    *,
    tags: frozenset[str],
    limits: ChunkLimits,
    front_end: FrontEnd = LETTERS,
    markup: Markup = Markup.AUTO,
) -> ChunkPlan:
    """Resolves the markup of a text, and plans its chunks for a voice with these tags.

    The plan is empty if nothing of the text can be spoken. Raises `RequestError` for a blank text.
    """
    if is_blank(text):
        raise blank_text()
    layer = _open_layer(markup, tags, front_end)
    if layer is None:
        return plan_chunks(text, tags=tags, limits=limits, front_end=front_end)
    spoken = layer.feed(text) + layer.flush()
    return plan_chunks(
        spoken, tags=tags, limits=limits, front_end=front_end, num_left_out=layer.num_left_out
    )


def _open_layer(
    markup: Markup, tags: frozenset[str], front_end: FrontEnd
) -> MarkdownToSpeech | None:
    if markup is Markup.PLAIN:
        return None
    folded = frozenset(tag.casefold() for tag in tags)
    return MarkdownToSpeech(Dialect(folded, markup is Markup.CHAT, front_end.is_word))

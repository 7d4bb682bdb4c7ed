"""Cuts text that is still being written into chunks, each as early as is safe.

Text is cut at a break point once the next word has begun, because later text cannot change the
rating of that point.
"""

from dataclasses import replace

from orpheus_server.text.boundaries import BreakPoints, find_uncertain
from orpheus_server.text.chunking import ChunkLimits, end_text, prepare_piece
from orpheus_server.text.clean_stream import CleanStream
from orpheus_server.text.cleaning import has_letter_or_digit, is_speakable
from orpheus_server.text.front_end import LETTERS, FrontEnd, PreparedText
from orpheus_server.text.marks import STOPS
from orpheus_server.text.punctuation import count_as_letters, punctuate_lines
from orpheus_server.text.splitting import (
    find_end_in_word,
    find_last_sentence_end,
    skip_space,
)
from orpheus_server.text.word_breaks import BreakStrength

# The first chunk ends with the first sentence that is long enough for the model to speak well. If
# that takes more than 80 characters, it ends with a clause, so that the listener waits less.
FIRST_SENTENCE_MIN_CHARS = 25
FIRST_SENTENCE_MAX_CHARS = 80
# Later chunks are generated while the previous one plays, so they can be whole sentences; short
# sentences are joined.
CHUNK_MIN_CHARS = 40


class ChunkStream:
    """Cuts deltas of any size into chunks, which depend only on the text and not on the deltas.

    `num_dropped_symbols` counts the letters and digits of parts that the voice cannot say.
    """

    def __init__(
        self,
        *,
        tags: frozenset[str],
        limits: ChunkLimits,
        front_end: FrontEnd = LETTERS,
    ) -> None:
        self.num_dropped_symbols = 0
        self._tags = tags
        self._limits = limits
        self._front_end = front_end
        self._cleaner = CleanStream(tags=tags)
        # Clean text of one paragraph that is not yet in a chunk; stops were added to its lines.
        self._text = ""
        self._num_line_chars = 0
        self._is_first = True
        # Whether the rest of the last word decides if a sentence ends before it.
        self._is_uncertain = False

    @property
    def num_dropped_tags(self) -> int:
        """Number of dropped control tokens and tags that the voice lacks, so far."""
        return self._cleaner.num_dropped_tags

    def feed(self, delta: str) -> list[PreparedText]:
        """Returns the chunks that are complete so far."""
        chunks: list[PreparedText] = []
        for text, following in self._cleaner.feed(delta):
            chunks += self._take(text, following)
        return chunks

    def flush(self) -> list[PreparedText]:
        """Returns the remaining chunks. The next chunk will be a short first one again."""
        chunks = [*self._take(self._cleaner.flush(), ""), *self._cut("", is_end=True)]
        self._is_first = True
        return chunks

    def _take(self, text: str, following: str) -> list[PreparedText]:
        chunks: list[PreparedText] = []
        *paragraphs, text = text.split("\n\n")
        for paragraph in paragraphs:
            self._append(paragraph, "")
            parts = self._cut("", is_end=True)
            # Another one may not follow, but a pause at the end of a text is not heard.
            chunks += [*parts[:-1], *(replace(part, ends_paragraph=True) for part in parts[-1:])]
        self._append(text, following)
        # Without a stop the new words only make the sentence longer.
        has_stop = self._is_uncertain or any(char in STOPS for char in text)
        if following and (has_stop or len(self._text) > self._reach_of(self._text)[1]):
            chunks += self._cut(following, is_end=False)
        return chunks

    def _append(self, text: str, following: str) -> None:
        clean = text + following
        lines = punctuate_lines(clean, num_chars_before=self._num_line_chars)
        self._text += lines[: len(lines) - len(following)]
        line_start = text.rfind("\n") + 1
        self._num_line_chars = len(text) - line_start + (0 if line_start else self._num_line_chars)

    def _cut(self, following: str, *, is_end: bool) -> list[PreparedText]:
        """Cuts complete chunks off the waiting text; at the end of a paragraph, all of it."""
        breaks = BreakPoints(self._text + following)
        stop = len(breaks.text) - len(following)
        uncertain = stop if is_end else find_uncertain(breaks.text)
        self._is_uncertain = uncertain < stop
        stop = min(stop, uncertain)
        parts: list[PreparedText] = []
        start = 0
        while start < stop and (end := self._find_end(breaks, start, stop)) is not None:
            piece = breaks.text[start:end].rstrip()
            start = skip_space(breaks, end)
            # The rest is searched only after a piece that is spoken: after each, it would take
            # quadratic time for a long tail without letters.
            if is_speakable(piece, tags=self._tags):
                is_last = is_end and not has_letter_or_digit(breaks.text[start:])
                parts += self._prepare(piece, "." if is_last else ",")
            self._is_first = self._is_first and not parts
        self._text = "" if is_end else self._text[start:]
        if is_end:
            self._num_line_chars = 0
            parts[-1:] = [end_text(part, self._front_end) for part in parts[-1:]]
        return parts

    def _prepare(self, piece: str, stop: str) -> list[PreparedText]:
        """Returns the parts of the piece that can be spoken, and counts the others."""
        parts: list[PreparedText] = []
        for part in prepare_piece(piece, stop, limits=self._limits, front_end=self._front_end):
            if part.piece_sec > 0.0:
                parts.append(part)
            else:
                self.num_dropped_symbols += sum(map(str.isalnum, part.piece))
        return parts

    def _find_end(self, breaks: BreakPoints, start: int, stop: int) -> int | None:
        """Returns where the chunk from `start` ends, None if that is not certain before `stop`.

        The end of the text counts as the end of a sentence; it is after `stop` if more may follow.
        """
        max_chars = self._limits.chunk_max_chars
        limit = start + max_chars
        waiting = breaks.text[start : min(stop, limit)]
        min_chars, patience_chars = self._reach_of(waiting)
        late = start + patience_chars
        end = min(
            breaks.first_from(BreakStrength.SENTENCE, start + min_chars, late),
            find_last_sentence_end(breaks, start, limit, self._limits.max_sentences),
        )
        if end <= min(late, stop):
            return end
        if stop <= late:
            return None
        clause_min_chars = min(max_chars, count_as_letters(CHUNK_MIN_CHARS, waiting))
        clause = breaks.nearest(BreakStrength.CLAUSE, late, start + clause_min_chars, late)
        if clause is not None:
            return clause
        end = breaks.first_from(BreakStrength.CLAUSE, late, limit)
        if end <= min(limit, stop):
            return end
        return _find_end_at(breaks, start, max_chars) if stop > limit else None

    def _reach_of(self, waiting: str) -> tuple[int, int]:
        """Returns the fewest characters of a chunk, and the most before a sentence is cut."""
        max_chars = self._limits.chunk_max_chars
        if not self._is_first:
            return min(max_chars, count_as_letters(CHUNK_MIN_CHARS, waiting)), max_chars
        min_chars = count_as_letters(FIRST_SENTENCE_MIN_CHARS, waiting)
        patience_chars = count_as_letters(FIRST_SENTENCE_MAX_CHARS, waiting)
        return min(max_chars, min_chars), min(max_chars, patience_chars)


def _find_end_at(breaks: BreakPoints, start: int, max_chars: int) -> int:
    """Returns where to cut a long sentence without clauses; a short one before it stays whole."""
    limit = start + max_chars
    for level in (BreakStrength.SENTENCE, BreakStrength.SPACE, BreakStrength.GLUED):
        cut = breaks.nearest(level, limit, start + 1, limit)
        if cut is not None:
            return cut
    return find_end_in_word(breaks, start, max_chars)

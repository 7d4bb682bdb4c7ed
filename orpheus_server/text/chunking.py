"""Cuts a whole text into chunks, one generation each."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import ALL_EMOTION_TAGS
from orpheus_server.errors import RequestError
from orpheus_server.text.boundaries import BreakPoints
from orpheus_server.text.cleaning import clean_text, has_letter_or_digit, is_speakable
from orpheus_server.text.front_end import LETTERS, FrontEnd, PreparedText
from orpheus_server.text.punctuation import count_as_letters, punctuate_lines
from orpheus_server.text.splitting import (
    find_end,
    find_last_sentence_end,
    skip_space,
    split_at_pause,
    split_text,
)
from orpheus_server.text.word_breaks import BreakStrength

_CHARS_PER_SEC = 15

# How much of each limit the expected duration of a chunk may use, because estimates are not exact.
# Beyond the first, speech is longer than any in training; beyond the second, it is cut off.
_SHARE_OF_TRAINING = 0.85
_SHARE_OF_TOKENS = 0.7
# The prompt needs part of the context as well.
_SHARE_OF_CONTEXT = 0.5

# A piece without a pause inside may use all of the training's length, and so 0.82 of the tokens: a
# pause between two words ("Your total is, one thousand") is heard every time, a wrong estimate
# seldom.
SLACK_WITHOUT_PAUSE = 1 / _SHARE_OF_TRAINING

# The first chunk plays while it is generated, so the listener hears its faults before a retry. A
# longer one (120 characters are 8 s) risks more audio, and the model speaks a shorter one badly.
FIRST_CHUNK_MAX_CHARS = 120
FIRST_CHUNK_MIN_CHARS = 40

_WORD_SLACK = 1.15


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Limits of one generation: characters of text, expected seconds of speech, and sentences.

    `max_sentences` is None for voices that were trained on texts of any number.
    """

    chunk_max_chars: int
    chunk_max_sec: float
    max_sentences: int | None = None


class ChunkPlan:
    """The chunks of a text, prepared one at a time, and counts of what has been left out so far.

    `num_dropped_tags` includes control tokens. `num_dropped_symbols` counts the letters and digits
    of parts that the voice cannot say, and `num_left_out` parts that were left out as markup.
    Preparing a part is slow, so it waits until it is needed. `is_empty` if nothing can be spoken.
    """

    def __init__(
        self,
        parts: Iterable[PreparedText],
        front_end: FrontEnd,
        *,
        num_dropped_tags: int = 0,
        num_left_out: int = 0,
    ) -> None:
        self.num_dropped_tags = num_dropped_tags
        self.num_left_out = num_left_out
        self.num_dropped_symbols = 0
        self._parts = iter(parts)
        self._front_end = front_end
        self._ahead = self._find_next()
        self.is_empty = self._ahead is None

    def next_chunk(self) -> PreparedText | None:
        """Returns the next chunk, None at the end."""
        chunk, self._ahead = self._ahead or self._find_next(), None
        if chunk is None or chunk.can_end_text:
            return chunk
        # A comma was added, which is right only if more is spoken after this chunk.
        self._ahead = self._find_next()
        return chunk if self._ahead else end_text(chunk, self._front_end)

    def _find_next(self) -> PreparedText | None:
        for part in self._parts:
            if part.piece_sec > 0.0:
                return part
            self.num_dropped_symbols += sum(map(str.isalnum, part.piece))
        return None


def limits_for(
    checkpoint: Checkpoint,
    *,
    frame_sec: float,
    chunk_max_chars: int,
    max_model_len: int,
    max_tokens: int,
) -> ChunkLimits:
    """Returns limits that fit the training data, the engine's context and the token limit."""
    tokens_per_sec = checkpoint.layout.num_slots / frame_sec
    num_tokens = min(_SHARE_OF_CONTEXT * max_model_len, _SHARE_OF_TOKENS * max_tokens)
    max_sec = num_tokens / tokens_per_sec
    if checkpoint.max_audio_sec is not None:
        max_sec = min(max_sec, _SHARE_OF_TRAINING * checkpoint.max_audio_sec)
    max_chars = max(1, min(chunk_max_chars, int(max_sec * _CHARS_PER_SEC)))
    return ChunkLimits(max_chars, max_sec, checkpoint.max_sentences)


def blank_text() -> RequestError:
    """Returns the error for a text that is empty or blank."""
    return RequestError(
        "The input is blank: it has nothing to speak.", param="input", code="nothing_to_speak"
    )


def plan_chunks(
    text: str,
    *,
    tags: frozenset[str],
    limits: ChunkLimits,
    front_end: FrontEnd = LETTERS,
    num_left_out: int = 0,
) -> ChunkPlan:
    """Cleans a text for a voice with these tags and prepares its first chunk.

    `num_left_out` parts of it were left out before.
    """
    clean = clean_text(text, tags=tags, all_tags=ALL_EMOTION_TAGS)
    return ChunkPlan(
        _prepare_parts(clean.text, tags=tags, limits=limits, front_end=front_end),
        front_end,
        num_dropped_tags=clean.num_dropped_tags + clean.num_dropped_control_tokens,
        num_left_out=num_left_out,
    )


def prepare_piece(
    piece: str,
    stop: str,
    *,
    limits: ChunkLimits,
    front_end: FrontEnd,
    ends_paragraph: bool = False,
    slack: float = SLACK_WITHOUT_PAUSE,
) -> Iterator[PreparedText]:
    """Prepares a piece; if its speech would be too long, cuts it into parts and prepares those.

    It is cut after its sentences first, then after clauses, and between words only if it is `slack`
    times too long. Digits take longer than letters, so a limit in characters is not enough. `stop`
    is added to the last part, a comma to the others.
    """
    prepared = front_end.prepare(piece, stop)
    share = prepared.piece_sec / limits.chunk_max_sec
    num_parts = math.ceil(share)
    parts = None
    if num_parts > 1 and len(piece) > 1:
        parts = split_at_pause(piece, num_parts=num_parts)
        if parts is None and share > slack:
            # The slack lets words stay whole. A long number can only be cut inside.
            max_chars = min(len(piece) - 1, math.ceil(_WORD_SLACK * len(piece) / num_parts))
            parts = split_text(piece, max_chars=max_chars)
            # A part of words that are cut anyway is as short as the others.
            slack = 1.0
    if parts is None:
        yield replace(prepared, ends_paragraph=True) if ends_paragraph else prepared
        return
    prepare = partial(prepare_piece, limits=limits, front_end=front_end, slack=slack)
    for part in parts[:-1]:
        yield from prepare(part, ",")
    yield from prepare(parts[-1], stop, ends_paragraph=ends_paragraph)


def end_text(chunk: PreparedText, front_end: FrontEnd) -> PreparedText:
    """Returns the chunk as the last one of its text, which ends in a full stop.

    Only a chunk with an added comma is prepared again. Text follows such a chunk, but none that the
    voice can say.
    """
    return chunk if chunk.can_end_text else front_end.prepare(chunk.piece, ".")


def _prepare_parts(
    text: str,
    *,
    tags: frozenset[str],
    limits: ChunkLimits,
    front_end: FrontEnd,
) -> Iterator[PreparedText]:
    breaks = BreakPoints(punctuate_lines(text))
    is_spoken = False
    start = 0
    while start < len(breaks.text):
        end = find_end(breaks, start, limits.chunk_max_chars)
        end = min(end, find_last_sentence_end(breaks, start, end, limits.max_sentences))
        if not is_spoken:
            end = _find_first_end(breaks, start, end)
        piece = breaks.text[start:end].rstrip()
        start = skip_space(breaks, end)
        if is_speakable(piece, tags=tags):
            stop = "," if has_letter_or_digit(breaks.text[start:]) else "."
            ends_paragraph = (
                stop == "," and breaks.first_from(BreakStrength.PARAGRAPH, end, end) == end
            )
            for part in prepare_piece(
                piece, stop, limits=limits, front_end=front_end, ends_paragraph=ends_paragraph
            ):
                is_spoken = is_spoken or part.piece_sec > 0.0
                yield part


def _find_first_end(breaks: BreakPoints, start: int, end: int) -> int:
    """Returns an early end of a sentence, or of a clause, or `end` if there is neither."""
    piece = breaks.text[start:end]
    max_chars = count_as_letters(FIRST_CHUNK_MAX_CHARS, piece)
    min_chars = count_as_letters(FIRST_CHUNK_MIN_CHARS, piece)
    if len(piece) <= max_chars:
        return end
    # The rest of the text must not be too short either.
    high = min(start + max_chars, len(breaks.text) - min_chars)
    for level in (BreakStrength.SENTENCE, BreakStrength.CLAUSE):
        cut = breaks.nearest(level, high, start + min_chars, high)
        if cut is not None:
            return cut
    return end

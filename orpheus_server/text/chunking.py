"""A caller's text as pieces of one generation each."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import ALL_EMOTION_TAGS
from orpheus_server.errors import RequestError
from orpheus_server.text.boundaries import BreakPoints, BreakStrength
from orpheus_server.text.cleaning import clean_text, is_speakable
from orpheus_server.text.duration import estimate_duration_sec
from orpheus_server.text.punctuation import add_stop, count_as_letters, is_in_word, punctuate_lines
from orpheus_server.text.splitting import find_end, skip_space, split_text

_CHARS_PER_SEC = 15

# Shares of a limit that the expected length of a chunk may take, because estimates are not exact:
# what is over the first is speech that the model never saw so long, over the second cut off.
_SHARE_OF_TRAINING = 0.85
_SHARE_OF_TOKENS = 0.7
# The prompt takes its part of the context as well.
_SHARE_OF_CONTEXT = 0.5

# The first chunk plays while it is made, so its faults cannot be retried invisibly: a longer one
# (120 characters are 8 s) puts more at stake, a shorter one the model speaks badly.
FIRST_CHUNK_MAX_CHARS = 120
FIRST_CHUNK_MIN_CHARS = 40

_WORD_SLACK = 1.15


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """How long one generation may be: characters of text, and seconds it is expected to last."""

    chunk_max_chars: int
    chunk_max_sec: float


class ChunkPlan:
    """What will be spoken, chunk by chunk as it is asked for, and how much was left out so far.

    `num_dropped_tags` counts control tokens too, `num_dropped_symbols` the letters and digits of
    parts that the voice cannot say. Measuring a part is slow, so none is before its turn.
    """

    def __init__(self, parts: Iterable[tuple[str, float]], *, num_dropped_tags: int = 0) -> None:
        self.num_dropped_tags = num_dropped_tags
        self.num_dropped_symbols = 0
        # With their seconds; 0 is what the voice cannot say.
        self._parts = iter(parts)
        self._ahead = self._find_next()
        self.is_empty = self._ahead is None

    def next_chunk(self) -> str | None:
        """The next chunk's text, None at the end."""
        chunk, self._ahead = self._ahead or self._find_next(), None
        if chunk is None or not is_in_word(chunk[-1]):
            return chunk
        # Only here it matters whether something follows.
        self._ahead = self._find_next()
        return add_stop(chunk, "." if self._ahead is None else ",")

    def _find_next(self) -> str | None:
        for text, length_sec in self._parts:
            if length_sec > 0.0:
                return text
            self.num_dropped_symbols += sum(map(str.isalnum, text))
        return None


def limits_for(
    checkpoint: Checkpoint,
    *,
    frame_sec: float,
    chunk_max_chars: int,
    max_model_len: int,
    max_tokens: int,
) -> ChunkLimits:
    """What fits the checkpoint's training, the engine's context and the limit of a generation."""
    tokens_per_sec = checkpoint.layout.num_slots / frame_sec
    num_tokens = min(_SHARE_OF_CONTEXT * max_model_len, _SHARE_OF_TOKENS * max_tokens)
    max_sec = num_tokens / tokens_per_sec
    if checkpoint.max_audio_sec is not None:
        max_sec = min(max_sec, _SHARE_OF_TRAINING * checkpoint.max_audio_sec)
    return ChunkLimits(max(1, min(chunk_max_chars, int(max_sec * _CHARS_PER_SEC))), max_sec)


def nothing_to_speak() -> RequestError:
    """The refusal of a text without a sound."""
    return RequestError(
        "The input has nothing to speak: it needs words or numbers that this voice can say, "
        "or an emotion tag that it has.",
        param="input",
        code="nothing_to_speak",
    )


def plan_chunks(
    text: str,
    *,
    tags: frozenset[str],
    limits: ChunkLimits,
    expected_sec: Callable[[str], float] = estimate_duration_sec,
) -> ChunkPlan:
    """Cleans a text for a voice with these tags and finds its first chunk; the rest when asked.

    `expected_sec` tells how long a piece lasts when spoken, 0 if the voice cannot say it. Raises
    `RequestError` if nothing can be spoken.
    """
    clean = clean_text(text, tags=tags, all_tags=ALL_EMOTION_TAGS)
    plan = ChunkPlan(
        _find_parts(clean.text, tags=tags, limits=limits, expected_sec=expected_sec),
        num_dropped_tags=clean.num_dropped_tags + clean.num_dropped_control_tokens,
    )
    if plan.is_empty:
        raise nothing_to_speak()
    return plan


def shorten(
    piece: str, limits: ChunkLimits, expected_sec: Callable[[str], float]
) -> Iterator[tuple[str, float]]:
    """Short enough parts of a piece, with their seconds: digits last longer than letters."""
    length_sec = expected_sec(piece)
    num_parts = math.ceil(length_sec / limits.chunk_max_sec)
    if num_parts <= 1 or len(piece) == 1:
        yield piece, length_sec
        return
    # Room for words to stay whole; a long number has no place to cut at but its middle.
    max_chars = min(len(piece) - 1, math.ceil(_WORD_SLACK * len(piece) / num_parts))
    for part in split_text(piece, max_chars=max_chars):
        yield from shorten(part, limits, expected_sec)


def _find_parts(
    text: str,
    *,
    tags: frozenset[str],
    limits: ChunkLimits,
    expected_sec: Callable[[str], float],
) -> Iterator[tuple[str, float]]:
    breaks = BreakPoints(punctuate_lines(text))
    is_spoken = False
    start = 0
    while start < len(breaks.text):
        end = find_end(breaks, start, limits.chunk_max_chars)
        if not is_spoken:
            end = _find_first_end(breaks, start, end)
        piece = breaks.text[start:end].rstrip()
        start = skip_space(breaks, end)
        if is_speakable(piece, tags=tags):
            for part, length_sec in shorten(piece, limits, expected_sec):
                is_spoken = is_spoken or length_sec > 0.0
                yield part, length_sec


def _find_first_end(breaks: BreakPoints, start: int, end: int) -> int:
    """Return a sentence's or else a clause's early end, that of the piece if there is none."""
    piece = breaks.text[start:end]
    max_chars = count_as_letters(FIRST_CHUNK_MAX_CHARS, piece)
    min_chars = count_as_letters(FIRST_CHUNK_MIN_CHARS, piece)
    if len(piece) <= max_chars:
        return end
    # The rest of the text, too, must not be a few words.
    high = min(start + max_chars, len(breaks.text) - min_chars)
    for level in (BreakStrength.SENTENCE, BreakStrength.CLAUSE):
        cut = breaks.nearest(level, high, start + min_chars, high)
        if cut is not None:
            return cut
    return end

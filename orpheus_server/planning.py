"""A caller's text as pieces of one generation each."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orpheus_server.checkpoint import Checkpoint
from orpheus_server.errors import RequestError
from orpheus_server.published import ALL_EMOTION_TAGS
from orpheus_server.splitting import split_text
from orpheus_server.text import clean_text, estimate_duration_sec, is_cjk, is_speakable

_CHARS_PER_SEC = 15

# Shares of a limit that the expected length of a chunk may take, because estimates are not exact:
# what is over the first is speech that the model never saw so long, over the second cut off.
_SHARE_OF_TRAINING = 0.85
_SHARE_OF_TOKENS = 0.7
# The prompt takes its part of the context as well.
_SHARE_OF_CONTEXT = 0.5


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """How long one generation may be: characters of text, and seconds it is expected to last."""

    chunk_max_chars: int
    chunk_max_sec: float


@dataclass(frozen=True, slots=True)
class SpeechPlan:
    """What will be spoken, in order, and how much was left out.

    `num_dropped_tags` counts control tokens too, `num_dropped_symbols` the letters and digits of
    pieces that the voice cannot say.
    """

    chunks: tuple[str, ...]
    num_dropped_tags: int = 0
    num_dropped_symbols: int = 0


def limits_for(
    checkpoint: Checkpoint,
    *,
    frame_sec: float,
    chunk_max_chars: int,
    max_model_len: int,
    max_tokens: int,
) -> SpeechLimits:
    """What fits the checkpoint's training, the engine's context and the limit of a generation."""
    tokens_per_sec = checkpoint.layout.num_slots / frame_sec
    num_tokens = min(_SHARE_OF_CONTEXT * max_model_len, _SHARE_OF_TOKENS * max_tokens)
    max_sec = num_tokens / tokens_per_sec
    if checkpoint.max_audio_sec is not None:
        max_sec = min(max_sec, _SHARE_OF_TRAINING * checkpoint.max_audio_sec)
    return SpeechLimits(max(1, min(chunk_max_chars, int(max_sec * _CHARS_PER_SEC))), max_sec)


def plan_speech(
    text: str,
    *,
    tags: frozenset[str],
    limits: SpeechLimits,
    expected_sec: Callable[[str], float] = estimate_duration_sec,
) -> SpeechPlan:
    """Cleans and splits a text for a voice with these tags.

    `expected_sec` tells how long a piece lasts when spoken, 0 if the voice cannot say it. Raises
    `RequestError` if nothing can be spoken.
    """
    clean = clean_text(text, tags=tags, all_tags=ALL_EMOTION_TAGS)
    pieces = split_text(_punctuate_lines(clean.text), max_chars=limits.chunk_max_chars)
    spoken = [piece for piece in pieces if is_speakable(piece, tags=tags)]
    parts = [part for piece in spoken for part in _shorten(piece, limits, expected_sec)]
    chunks = [text for text, length_sec in parts if length_sec > 0.0]
    if not chunks:
        raise RequestError(
            "The input has nothing to speak: it needs words or numbers that this voice can say, "
            "or an emotion tag that it has.",
            param="input",
            code="nothing_to_speak",
        )
    return SpeechPlan(
        chunks=(*(_end(chunk, ",") for chunk in chunks[:-1]), _end(chunks[-1], ".")),
        num_dropped_tags=clean.num_dropped_tags + clean.num_dropped_control_tokens,
        num_dropped_symbols=sum(
            char.isalnum() for text, length_sec in parts if length_sec == 0.0 for char in text
        ),
    )


def _shorten(
    piece: str, limits: SpeechLimits, expected_sec: Callable[[str], float]
) -> Iterator[tuple[str, float]]:
    """Short enough parts of a piece, with their seconds: digits last longer than letters."""
    length_sec = expected_sec(piece)
    num_parts = math.ceil(length_sec / limits.chunk_max_sec)
    if num_parts <= 1 or len(piece) == 1:
        yield piece, length_sec
        return
    # Room for words to stay whole; a long number has no place to cut at but its middle.
    max_chars = min(len(piece) - 1, math.ceil(_ROOM_FOR_WORDS * len(piece) / num_parts))
    for part in split_text(piece, max_chars=max_chars):
        yield from _shorten(part, limits, expected_sec)


def _punctuate_lines(text: str) -> str:
    """Stops for the ends of headings, list items and verses, which are pauses to a reader.

    A line break inside of a sentence (mail is wrapped at 72 characters) is none: the line is long
    or the next one goes on in lower case.
    """
    return _LINE_END.sub(lambda match: match[1] + _line_stop(match) + match[2], text)


_ROOM_FOR_WORDS = 1.15
_MAX_VERSE_CHARS = 60
_LINE_END = re.compile(r"(\S)(\n+)(?=(\S))")


def _line_stop(match: re.Match[str]) -> str:
    if not _is_in_word(match[1]):
        return ""
    if len(match[2]) > 1:
        return _stop_like(match[1], ".")
    line_start = match.string.rfind("\n", 0, match.start()) + 1
    goes_on = match[3].islower() or match.start() - line_start >= _MAX_VERSE_CHARS
    return "" if goes_on else _stop_like(match[1], ",")


def _end(chunk: str, stop: str) -> str:
    """The chunk with a stop: without one Orpheus reads it twice or goes on by itself."""
    return chunk + _stop_like(chunk[-1], stop) if _is_in_word(chunk[-1]) else chunk


def _is_in_word(char: str) -> bool:
    # Hindi words end in vowel signs, which are marks and no letters.
    return char.isalnum() or unicodedata.category(char)[0] == "M"


def _stop_like(char: str, stop: str) -> str:
    return _CJK_STOPS[stop] if is_cjk(char) else stop


_CJK_STOPS = {".": "。", ",": "，"}

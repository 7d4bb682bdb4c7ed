"""A caller's text as pieces of one generation each."""

from dataclasses import dataclass

from orpheus_server.checkpoint import Checkpoint
from orpheus_server.errors import RequestError
from orpheus_server.published import ALL_EMOTION_TAGS
from orpheus_server.splitting import split_in_two, split_text
from orpheus_server.text import clean_text, estimate_duration_sec, is_speakable

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
    """What will be spoken, in order; tags and control tokens that were left out are counted."""

    chunks: tuple[str, ...]
    num_dropped_tags: int = 0


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


def plan_speech(text: str, *, tags: frozenset[str], limits: SpeechLimits) -> SpeechPlan:
    """Cleans and splits a text for a voice with these tags.

    Raises `RequestError` if nothing in it can be spoken.
    """
    clean = clean_text(text, tags=tags, all_tags=ALL_EMOTION_TAGS)
    if not is_speakable(clean.text, tags=tags):
        raise RequestError(
            "The input has nothing to speak: it needs a letter, a digit or an emotion tag that "
            "this voice has.",
            param="input",
            code="nothing_to_speak",
        )
    chunks = split_text(clean.text, max_chars=limits.chunk_max_chars)
    short = [part for chunk in chunks for part in _shorten(chunk, limits.chunk_max_sec)]
    return SpeechPlan(
        chunks=tuple(chunk for chunk in short if is_speakable(chunk, tags=tags)),
        num_dropped_tags=clean.num_dropped_tags + clean.num_dropped_control_tokens,
    )


def _shorten(chunk: str, max_sec: float) -> list[str]:
    """Halves a chunk until it is short enough: digits and CJK last longer than letters."""
    if len(chunk) == 1 or estimate_duration_sec(chunk) <= max_sec:
        return [chunk]
    # One long number has no place to cut at but its middle.
    halves = split_in_two(chunk) or split_text(chunk, max_chars=(len(chunk) + 1) // 2)
    if len(halves) == 1:
        return [chunk]
    return [part for half in halves for part in _shorten(half, max_sec)]

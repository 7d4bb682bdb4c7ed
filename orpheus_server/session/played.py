"""Which words of an utterance somebody has heard whose player was stopped in the middle."""

from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.text.duration import estimate_duration_sec, is_cjk

_END_SEC = 0.1
"""A chunk ends with silence, and players round: what is left of it then is no word."""


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """Text that is heard from this sample of its utterance on."""

    text: str
    start_sample: int


def heard_text(
    chunks: Sequence[SpokenChunk],
    *,
    num_played: int,
    num_sent: int,
    is_last_whole: bool,
    sample_rate: int,
    speed: float = 1.0,
) -> str:
    """The text behind the first `num_played` samples of an utterance, in whole words.

    Of the chunk in which they end it is as much as was played of its sound. `num_sent` samples have
    left; if those are all of the last chunk's (`is_last_whole`), they tell how long it is, and its
    text, roughly, before that.
    """
    heard: list[str] = []
    for index, chunk in enumerate(chunks):
        if num_played <= chunk.start_sample:
            break
        if index + 1 < len(chunks):
            end = chunks[index + 1].start_sample
        elif is_last_whole:
            end = num_sent
        else:
            expected = estimate_duration_sec(chunk.text) / speed * sample_rate
            end = max(num_sent, chunk.start_sample + round(expected))
        if num_played >= end - _END_SEC * sample_rate:
            heard.append(chunk.text)
            continue
        share = (num_played - chunk.start_sample) / (end - chunk.start_sample)
        heard.append(_words_within(chunk.text, share))
    return " ".join(filter(None, heard))


def _words_within(text: str, share: float) -> str:
    """The words that end within that share of the characters; an ideograph is a word."""
    limit = share * len(text)
    ends = (end for end in range(1, len(text) + 1) if end <= limit and _ends_word(text, end))
    return text[: max(ends, default=0)]


def _ends_word(text: str, end: int) -> bool:
    if text[end - 1].isspace():
        return False
    if end == len(text) or text[end].isspace():
        return True
    return is_cjk(text[end - 1]) or is_cjk(text[end])

"""The shortest good speech of each voice, below which the server's guard retries.

A straight line in the expected length, below nearly all recordings that were heard to their end.
Half an utterance is shorter than that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from training.codec.config import SAMPLES_PER_FRAME
from training.ear.in_order import is_whole
from training.evaluate.items import Item
from training.evaluate.spoken import SAMPLE_RATE

FRAME_SEC = SAMPLES_PER_FRAME / SAMPLE_RATE

MIN_RECORDINGS = 60
"""Fewer say too little of the fastest one in a hundred."""

LOW_QUANTILE = 0.01
MARGIN = 0.88
"""The line is lowered to this share and by two frames, so that no good utterance is refused: the
fastest of a thousand is below the fastest of a hundred."""

SECS = np.arange(-0.5, 1.0, 0.02)
"""Seconds that a text takes however short it is."""


class HeardSpeech(Protocol):
    """A raw generation, its transcript, and what was noted of it."""

    @property
    def item(self) -> Item: ...

    @property
    def result(self) -> Mapping[str, Any]: ...

    @property
    def heard(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Length:
    """Expected and real seconds of an utterance."""

    expected_sec: float
    sec: float


def lengths_by_voice(recordings: Iterable[HeardSpeech]) -> dict[str, list[Length]]:
    """Returns the lengths of the good ones: one generation each, without a fault, all heard."""
    found: dict[str, list[Length]] = {}
    for each in recordings:
        result = each.result
        is_good = result["num_pieces"] == 1 and not result["faults"] and result["expected_sec"] > 0
        if is_good and is_whole(each.item.text, each.heard):
            length = Length(result["expected_sec"], result["num_frames"] * FRAME_SEC)
            found.setdefault(each.item.voice, []).append(length)
    return found


def fit_shortest(lengths: Iterable[Length]) -> dict[str, float] | None:
    """Returns `share` and `sec` as `speech.json` has them; None if there are too few lengths.

    Of the lines below which one length in a hundred lies, it is the one that is closest to the
    lengths on average, less a margin.
    """
    values = np.array([(each.expected_sec, each.sec) for each in lengths])
    if len(values) < MIN_RECORDINGS:
        return None
    expected, real = values.T
    lines = [(float(np.quantile((real - sec) / expected, LOW_QUANTILE)), sec) for sec in SECS]
    share, sec = max(lines, key=lambda line: float(np.mean((line[0] * expected + line[1]) / real)))
    return {"share": round(MARGIN * share, 3), "sec": round(float(sec) - 2 * FRAME_SEC, 3)}


def fit_voices(recordings: Iterable[HeardSpeech]) -> dict[str, dict[str, float]]:
    """Returns the shortest speech of each voice that has enough good recordings."""
    fits = {voice: fit_shortest(each) for voice, each in lengths_by_voice(recordings).items()}
    return {voice: fit for voice, fit in fits.items() if fit is not None}

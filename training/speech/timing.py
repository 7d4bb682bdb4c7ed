"""Times of the symbols: from the ends of the teacher's characters to bounds in samples."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.speech.alphabet import STOPS
from training.speech.levels import Levels

Bounds = npt.NDArray[np.float64]
"""[symbols + 1] in samples: symbol i lies from bounds[i] to bounds[i + 1]."""

PAUSE_DB = -30.0
"""Softer than this, before a stop, is a pause: some speakers breathe at -35 dB."""

MIN_PHONEME_SEC = 0.025
"""What the phoneme before a stop keeps even if it is silent: one frame of the teacher."""


def symbol_bounds(character_ends: npt.NDArray[np.int64], owners: Sequence[int]) -> Bounds:
    """Joins the characters of each symbol.

    `character_ends` [characters + 2] includes a padding character at either end, in samples.
    Every symbol owns at least one character, in order.
    """
    ends = np.searchsorted(np.asarray(owners), np.arange(owners[-1] + 1), side="right")
    return np.concatenate([character_ends[:1], character_ends[ends]]).astype(np.float64)


def give_pauses_to_stops(
    bounds: Bounds, symbols: Sequence[str], levels: Levels, *, sample_rate: int
) -> Bounds:
    """Moves the beginning of each stop to where the sound before it ends.

    The teacher counts much of a pause as the phoneme before it. Only the last stop may also move
    to later, into its own time.
    """
    moved = bounds.copy()
    for index in range(1, len(symbols)):
        if symbols[index] not in STOPS or symbols[index - 1] in STOPS:
            continue
        start, end = bounds[index - 1], bounds[index]
        is_last = index == len(symbols) - 1
        sound_end = levels.end_of_sound(PAUSE_DB, start=start, end=None if is_last else end)
        kept = start + MIN_PHONEME_SEC * sample_rate
        moved[index] = min(bounds[-1] if is_last else end, max(kept, sound_end or 0))
    return moved

"""The level of an utterance over time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK_SEC = 0.01

MIN_SILENCE_SEC = 0.2
"""Longer than the closure of a plosive before its release; a click after it is not speech."""


@dataclass(frozen=True, slots=True)
class Levels:
    """RMS of blocks of 10 ms, in decibels relative to the level of the speech."""

    decibels: npt.NDArray[np.float64]
    block_samples: int

    def first_above(self, threshold_db: float) -> int | None:
        """Returns the sample at which the first louder block begins."""
        loud = np.flatnonzero(self.decibels > threshold_db)
        return int(loud[0]) * self.block_samples if loud.size else None

    def end_of_sound(
        self, threshold_db: float, *, start: float = 0, end: float | None = None
    ) -> int | None:
        """Returns the sample at which the first sound between `start` and `end` ends.

        Silence shorter than `MIN_SILENCE_SEC` is part of the sound.
        """
        first = int(np.ceil(start / self.block_samples))
        last = None if end is None else int(end // self.block_samples)
        loud = np.flatnonzero(self.decibels[first:last] > threshold_db)
        if not loud.size:
            return None
        silences = np.flatnonzero(np.diff(loud) > MIN_SILENCE_SEC / BLOCK_SEC)
        last_loud = loud[silences[0]] if silences.size else loud[-1]
        return (first + int(last_loud) + 1) * self.block_samples


def measure_levels(
    samples: npt.NDArray[np.float32], *, speech_level: float, sample_rate: int
) -> Levels:
    """Measures an utterance; `speech_level` is the RMS that counts as 0 dB."""
    block = round(BLOCK_SEC * sample_rate)
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % block))
    rms = np.sqrt(np.square(padded).reshape(-1, block).mean(axis=1))
    return Levels(20 * np.log10(np.maximum(rms, 1e-9) / speech_level), block)

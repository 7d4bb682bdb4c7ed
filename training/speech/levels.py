"""The level of an utterance over time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK_SEC = 0.01


@dataclass(frozen=True, slots=True)
class Levels:
    """RMS of blocks of 10 ms, in decibels relative to the level of the speech."""

    decibels: npt.NDArray[np.float64]
    block_samples: int

    def first_above(self, threshold_db: float) -> int | None:
        """Returns the sample at which the first louder block begins."""
        loud = np.flatnonzero(self.decibels > threshold_db)
        return int(loud[0]) * self.block_samples if loud.size else None

    def last_above(
        self, threshold_db: float, *, start: float = 0, end: float | None = None
    ) -> int | None:
        """Returns the sample at which the last louder block ends, of those that lie in between."""
        first = int(np.ceil(start / self.block_samples))
        last = None if end is None else int(end // self.block_samples)
        loud = np.flatnonzero(self.decibels[first:last] > threshold_db)
        return (first + int(loud[-1]) + 1) * self.block_samples if loud.size else None


def measure_levels(
    samples: npt.NDArray[np.float32], *, speech_level: float, sample_rate: int
) -> Levels:
    """Measures an utterance; `speech_level` is the RMS that counts as 0 dB."""
    block = round(BLOCK_SEC * sample_rate)
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % block))
    rms = np.sqrt(np.square(padded).reshape(-1, block).mean(axis=1))
    return Levels(20 * np.log10(np.maximum(rms, 1e-9) / speech_level), block)

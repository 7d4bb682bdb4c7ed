"""Level over time: where speech is, where it is silent, and whether its edges are cut."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]
"""Mono samples between -1 and 1."""

HOP_SEC = 0.01
MIN_DB = -100.0
"""Level of digital silence."""

ACTIVE_DB = -25.0
"""Frames above this level, relative to the loudest, are speech. Higher loses the ends of words;
lower counts the noise of a codec as speech."""

LOUDEST_SHARE = 0.95
CLIPPED_DB = -18.0
"""A recording whose first or last 10 ms are louder than this, relative to its speech, is cut."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of frames of 10 ms, dB of full scale, and the level of the speech among them."""

    db: npt.NDArray[np.float64]
    speech_db: float

    @property
    def is_active(self) -> npt.NDArray[np.bool_]:
        """True for frames of speech; all False if the recording is silent."""
        loudest = np.quantile(self.db, LOUDEST_SHARE) if self.db.size else MIN_DB
        if loudest <= -60.0:
            return np.zeros(self.db.size, np.bool_)
        return np.asarray(self.db > loudest + ACTIVE_DB)

    @property
    def speech_frames(self) -> tuple[int, int]:
        """First frame of speech and the one after the last; (0, 0) if there is none."""
        active = np.flatnonzero(self.is_active)
        return (int(active[0]), int(active[-1]) + 1) if active.size else (0, 0)

    @property
    def speech_sec(self) -> float:
        """Time from the first sound to the last."""
        start, end = self.speech_frames
        return (end - start) * HOP_SEC

    @property
    def is_start_clipped(self) -> bool:
        """True if the recording begins in the middle of a sound."""
        return self._has_speech and bool(self.db[0] > self.speech_db + CLIPPED_DB)

    @property
    def is_end_clipped(self) -> bool:
        """True if the recording ends in the middle of a sound."""
        return self._has_speech and bool(self.db[-1] > self.speech_db + CLIPPED_DB)

    @property
    def _has_speech(self) -> bool:
        return self.speech_db > MIN_DB


def to_db(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns 10 log10 of a power, at least `MIN_DB`."""
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (MIN_DB / 10))))


def measure_levels(wave: Wave, sample_rate: int) -> Levels:
    """Returns the levels of all complete frames."""
    hop = round(HOP_SEC * sample_rate)
    frames = wave[: wave.size // hop * hop].astype(np.float64).reshape(-1, hop)
    power = np.mean(frames**2, axis=1)
    levels = Levels(to_db(power), MIN_DB)
    active = power[levels.is_active]
    speech_db = float(to_db(np.array([active.mean()]))[0]) if active.size else MIN_DB
    return Levels(levels.db, speech_db)

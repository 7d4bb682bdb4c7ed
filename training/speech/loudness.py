"""Makes all utterances equally loud, never clipped."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

TARGET_RMS = 0.09
"""Of the parts that are speech: -21 dBFS leaves the peaks of all speakers below full scale."""

MAX_PEAK = 0.95
BLOCK_SEC = 0.05
OVERLAP = 5
"""A block begins every 10 ms, so that where blocks begin hardly matters to a short word."""

SILENCE_RMS = 1e-3
GATE = 10 ** (-10 / 20)
"""Blocks 10 dB below the mean are pauses and are not counted (as in ITU-R BS.1770)."""


def speech_level(samples: Samples, *, sample_rate: int) -> float:
    """Returns the RMS of the parts that are speech; 0.0 if nothing is audible."""
    step = round(BLOCK_SEC / OVERLAP * sample_rate)
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % step))
    steps = np.square(padded).reshape(-1, step).mean(axis=1)
    power = np.convolve(steps, np.full(OVERLAP, 1 / OVERLAP))
    audible = power[power > SILENCE_RMS**2]
    if not audible.size:
        return 0.0
    speech = audible[audible >= GATE**2 * audible.mean()]
    return float(np.sqrt(speech.mean()))


def equalise(samples: Samples, *, level: float) -> Samples:
    """Scales speech of the level to the target, or to less if its peak would clip."""
    peak = float(np.abs(samples).max())
    return samples * np.float32(min(TARGET_RMS / level, MAX_PEAK / peak))


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    return np.rint(samples * 32767).astype(np.int16)

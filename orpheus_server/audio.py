"""Samples: float32 mono in [-1, 1] as numpy arrays; checks, seams and the way to 16 bits."""

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

SILENCE_PEAK = 1e-3
"""-60 dBFS: below this nothing is heard over a room."""

_SPEECH_RMS = 0.006
"""What counts as sound at a chunk's edge; leading noise of Orpheus is below it (canopyai#299)."""

_RMS_WINDOW_SEC = 0.01
EDGE_FADE_SEC = 0.005


def empty() -> Samples:
    """No samples."""
    return np.zeros(0, dtype=np.float32)


def is_finite(samples: Samples) -> bool:
    """False if any sample is NaN or infinite."""
    return bool(np.isfinite(samples).all())


def is_silent(samples: Samples) -> bool:
    """True if nothing in it could be heard."""
    return samples.size == 0 or float(np.abs(samples).max()) < SILENCE_PEAK


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """16-bit samples, clipped, rounded to nearest."""
    scaled: Samples = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0)
    return scaled.astype(np.int16)


def trim_edges(
    samples: Samples, *, sample_rate: int, max_lead_sec: float, max_tail_sec: float
) -> Samples:
    """Cuts silence beyond the given lengths off both ends; all-silent input is left alone."""
    window = max(1, int(_RMS_WINDOW_SEC * sample_rate))
    padded = np.pad(samples, (0, -len(samples) % window))
    power = np.square(padded).reshape(-1, window).mean(axis=1)
    loud = np.flatnonzero(power > _SPEECH_RMS**2)
    if loud.size == 0:
        return samples
    first = int(loud[0]) * window - int(max_lead_sec * sample_rate)
    last = (int(loud[-1]) + 1) * window + int(max_tail_sec * sample_rate)
    return samples[max(0, first) : min(len(samples), last)]


def fade_edges(samples: Samples, *, sample_rate: int) -> Samples:
    """A copy whose ends rise from and fall to zero over a few milliseconds, so no seam clicks."""
    length = min(int(EDGE_FADE_SEC * sample_rate), len(samples) // 2)
    faded = samples.copy()
    if length:
        ramp = np.linspace(0.0, 1.0, length, endpoint=False, dtype=np.float32)
        faded[:length] *= ramp
        faded[-length:] *= ramp[::-1]
    return faded

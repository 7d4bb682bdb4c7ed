"""Samples (float32 mono in [-1, 1] as numpy arrays): level thresholds and 16-bit conversion."""

import numpy as np
import numpy.typing as npt

from orpheus_server.interfaces import Samples

SILENCE_PEAK = 1e-3
"""-60 dBFS: anything below is inaudible in an ordinary room."""

SPEECH_RMS = 0.006
"""Anything louder at a chunk's edge is speech; Orpheus's leading noise is below (canopyai#299)."""

EDGE_FADE_SEC = 0.005


def empty() -> Samples:
    """Returns an array of no samples."""
    return np.zeros(0, dtype=np.float32)


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """Returns 16-bit samples, clipped and rounded to nearest."""
    scaled: Samples = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0)
    return scaled.astype(np.int16)

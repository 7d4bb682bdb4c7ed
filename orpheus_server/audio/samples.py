"""Samples: float32 mono in [-1, 1] as numpy arrays; what counts as sound, and 16 bits."""

import numpy as np
import numpy.typing as npt

from orpheus_server.interfaces import Samples

SILENCE_PEAK = 1e-3
"""-60 dBFS: below this nothing is heard over a room."""

SPEECH_RMS = 0.006
"""What counts as sound at a chunk's edge; leading noise of Orpheus is below it (canopyai#299)."""

EDGE_FADE_SEC = 0.005


def empty() -> Samples:
    """No samples."""
    return np.zeros(0, dtype=np.float32)


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """16-bit samples, clipped, rounded to nearest."""
    scaled: Samples = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0)
    return scaled.astype(np.int16)

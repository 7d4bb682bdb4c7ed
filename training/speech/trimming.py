"""Trims an utterance to what is audible and the silence that the server expects around it."""

import numpy as np
import numpy.typing as npt

from training.speech.levels import Levels
from training.speech.timing import Bounds

Samples = npt.NDArray[np.float32]

ONSET_DB = -40.0
"""Louder than this is the first sound: the teacher is silent before it."""

LEAD_SEC = 0.03
"""Kept before the first sound, so that no onset is cut and streams begin at once."""

TAIL_SEC = 0.25
"""Kept after the last sound, of the half second that the teacher gives to the last stop.

The server adds no pauses between chunks: this one is what separates two sentences. Less runs them
together, more costs tokens (the server cuts at 0.3 s).
"""

FADE_SEC = 0.01


def trim(
    samples: Samples, bounds: Bounds, levels: Levels, *, sample_rate: int
) -> tuple[Samples, Bounds]:
    """Trims both ends, or fills them with silence; the symbols then cover all of the utterance.

    `bounds[-2]` is where the last stop begins, and so the silence at the end.
    """
    lead, tail = round(LEAD_SEC * sample_rate), round(TAIL_SEC * sample_rate)
    first = levels.first_above(ONSET_DB)
    begin, end = (first or 0) - lead, int(bounds[-2]) + tail
    padded = np.pad(samples, (max(0, -begin), max(0, end - len(samples))))
    trimmed = padded[max(0, begin) :][: end - begin].copy()
    fade = round(FADE_SEC * sample_rate)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    trimmed[:fade] *= ramp
    trimmed[-fade:] *= ramp[::-1]
    moved = np.clip(bounds - begin, 0, len(trimmed))
    moved[0], moved[-1] = 0, len(trimmed)
    return trimmed, moved

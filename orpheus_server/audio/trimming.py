"""The edges of one chunk: over-long silence goes, both ends are faded, a short pause stays."""

import numpy as np

from orpheus_server.audio.samples import EDGE_FADE_SEC, SPEECH_RMS, empty
from orpheus_server.interfaces import Samples

MAX_LEAD_SEC = 0.15
MAX_TAIL_SEC = 0.3
"""What stays of a chunk's own silence: a sentence pause is 0.3 to 0.5 s over both sides."""

_WINDOW_SEC = 0.01


class EdgeTrimmer:
    """One chunk's samples in, the same without long silence at the ends and faded there out.

    `feed` holds back what may turn out to be silence at the end, and the length of a fade. A chunk
    in which nothing is loud enough to be speech keeps all its samples. `num_lead` samples went at
    its beginning.
    """

    def __init__(self, *, sample_rate: int) -> None:
        self._window = max(1, int(_WINDOW_SEC * sample_rate))
        self._max_lead = int(MAX_LEAD_SEC * sample_rate)
        self._max_tail = int(MAX_TAIL_SEC * sample_rate)
        self._fade = int(EDGE_FADE_SEC * sample_rate)
        self._held = empty()
        self._num_released = 0
        self.num_lead = 0
        self._unrated = empty()  # less than a window, of which some may be given already
        self._speech_end: int | None = None  # in the held samples; may be negative

    @property
    def held(self) -> Samples:
        """What would follow if it went on: neither trimmed nor faded."""
        return self._held

    def feed(self, samples: Samples) -> Samples:
        """The samples that are certain to be heard so far."""
        self._held = np.concatenate([self._held, samples])
        self._unrated = np.concatenate([self._unrated, samples])
        self._rate(self._unrated.size - self._unrated.size % self._window)
        if self._speech_end is None:
            return empty()
        end = min(self._held.size, self._speech_end + self._max_tail) - self._fade
        # A window is no shorter than two fades, so none of them is cut short once speech was found.
        return self._release(end)

    def flush(self) -> Samples:
        """The rest; all together are the chunk's audio."""
        self._rate(self._unrated.size)
        if self._speech_end is not None:
            self._held = self._held[: max(0, self._speech_end + self._max_tail)]
        fade = min(self._fade, (self._num_released + self._held.size) // 2)
        if fade:
            self._held = self._held.copy()
            self._held[-fade:] *= _ramp(fade)[::-1]
        return self._release(self._held.size, fade)

    def _rate(self, num_samples: int) -> None:
        """Finds the last speech in so many unrated samples, and cuts silence before any."""
        start = self._held.size - self._unrated.size
        new, self._unrated = self._unrated[:num_samples], self._unrated[num_samples:]
        padded = np.pad(new, (0, -new.size % self._window))
        power = np.square(padded).reshape(-1, self._window).mean(axis=1)
        loud = np.flatnonzero(power > SPEECH_RMS**2)
        if not loud.size:
            return
        is_first = self._speech_end is None
        self._speech_end = start + (int(loud[-1]) + 1) * self._window
        if is_first:
            self.num_lead = max(0, start + int(loud[0]) * self._window - self._max_lead)
            self._drop(self.num_lead)

    def _drop(self, num_samples: int) -> None:
        self._held = self._held[num_samples:]
        if self._speech_end is not None:
            self._speech_end -= num_samples

    def _release(self, end: int, fade: int | None = None) -> Samples:
        """Takes the held samples up to `end` out; the first of all are faded in."""
        released = self._held[: max(0, end)]
        self._drop(released.size)
        length = self._fade if fade is None else fade
        if self._num_released < length and released.size:
            released = released.copy()
            ramp = _ramp(length)[self._num_released : self._num_released + released.size]
            released[: ramp.size] *= ramp
        self._num_released += released.size
        return released


def _ramp(length: int) -> Samples:
    return np.linspace(0.0, 1.0, length, endpoint=False, dtype=np.float32)

"""Trims long silence at the edges of a chunk to a short pause, and fades both ends."""

from dataclasses import dataclass

import numpy as np

from orpheus_server.audio.samples import EDGE_FADE_SEC, SPEECH_RMS, empty
from orpheus_server.interfaces import Samples

MAX_LEAD_SEC = 0.15
"""Silence kept before a chunk: with the tail of the one before, it is the pause between them."""

_WINDOW_SEC = 0.01


@dataclass(frozen=True, slots=True)
class Tail:
    """Silence after the speech of a chunk: longer one is cut, shorter one is filled up."""

    max_sec: float
    min_sec: float = 0.0


SENTENCE_TAIL = Tail(max_sec=0.3)
"""With the lead of the next chunk, the pause is 0.3 to 0.5 s."""


class EdgeTrimmer:
    """Trims long silence from both ends of one chunk and fades them.

    `feed` holds back samples that may turn out to be silence at the end, and the length of a fade.
    A chunk in which nothing is loud enough to be speech keeps all its samples. `num_lead` is the
    number of samples trimmed at the beginning.
    """

    def __init__(self, *, sample_rate: int, tail: Tail = SENTENCE_TAIL) -> None:
        self._window = max(1, int(_WINDOW_SEC * sample_rate))
        self._max_lead = int(MAX_LEAD_SEC * sample_rate)
        self._max_tail = int(tail.max_sec * sample_rate)
        self._min_tail = int(tail.min_sec * sample_rate)
        self._fade = int(EDGE_FADE_SEC * sample_rate)
        self._held = empty()
        self._num_released = 0
        self.num_lead = 0
        self._unmeasured = empty()  # less than a window; some may have been released already
        self._speech_end: int | None = None  # index into the held samples; may be negative

    @property
    def held(self) -> Samples:
        """The samples held back, neither trimmed nor faded at the end."""
        return self._held

    def feed(self, samples: Samples) -> Samples:
        """Returns the samples that are now certain to be played."""
        self._held = np.concatenate([self._held, samples])
        self._unmeasured = np.concatenate([self._unmeasured, samples])
        self._measure(self._unmeasured.size - self._unmeasured.size % self._window)
        if self._speech_end is None:
            return empty()
        end = min(self._held.size, self._speech_end + self._max_tail) - self._fade
        # A window is at least as long as two fades, so no fade is cut short once speech is found.
        return self._release(end)

    def flush(self) -> Samples:
        """Returns the rest of the chunk's audio."""
        self._measure(self._unmeasured.size)
        num_missing = 0
        if self._speech_end is not None:
            self._held = self._held[: max(0, self._speech_end + self._max_tail)]
            num_missing = max(0, self._min_tail - max(0, self._held.size - self._speech_end))
        fade = min(self._fade, (self._num_released + self._held.size) // 2)
        if fade:
            self._held = self._held.copy()
            self._held[-fade:] *= _ramp(fade)[::-1]
        rest = self._release(self._held.size, fade)
        return np.pad(rest, (0, num_missing)) if num_missing else rest

    def _measure(self, num_samples: int) -> None:
        """Finds the last speech in the next `num_samples`; trims the silence before the first."""
        start = self._held.size - self._unmeasured.size
        new, self._unmeasured = self._unmeasured[:num_samples], self._unmeasured[num_samples:]
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
        """Removes and returns the held samples up to `end`; fades in the chunk's first samples."""
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

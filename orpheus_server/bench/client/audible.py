"""Finds where a response becomes audible: the first bytes of generated speech are silence."""

import numpy as np

WINDOW_BYTES = 480
"""10 ms of 16-bit mono at 24 kHz."""

AUDIBLE_RMS = 0.006
"""Relative to full scale, -44 dB: above breath and noise, below a soft consonant."""


class AudibleFinder:
    """`feed` it the body as it arrives; `byte` is where the first audible window starts."""

    def __init__(self) -> None:
        self.byte: int | None = None
        self._held = b""
        self._num_passed = 0

    def feed(self, data: bytes) -> None:
        """Checks the windows that these bytes complete, until one is audible."""
        if self.byte is not None:
            return
        data = self._held + data
        num_windows = len(data) // WINDOW_BYTES
        num_whole = num_windows * WINDOW_BYTES
        samples = np.frombuffer(data[:num_whole], dtype="<i2").astype(np.float64) / 32768
        rms = np.sqrt(np.mean(samples.reshape(num_windows, -1) ** 2, axis=1)) if num_windows else []
        loud = np.flatnonzero(np.asarray(rms) > AUDIBLE_RMS)
        if loud.size:
            self.byte = self._num_passed + int(loud[0]) * WINDOW_BYTES
        self._num_passed += num_whole
        self._held = data[num_whole:]

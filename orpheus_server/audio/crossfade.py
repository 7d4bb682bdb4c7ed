"""Fades from the sound of one attempt over to that of another, in the middle of a chunk."""

import numpy as np

from orpheus_server.interfaces import Samples

CROSS_FADE_SEC = 0.01
"""Long enough for a step to be no click, too short for two voices to be heard at once."""


class CrossFade:
    """Drops what was heard, and fades over from what would have followed it.

    Where both sounds are the same so is the outcome, bit for bit.
    """

    def __init__(self, num_heard: int, tail: Samples) -> None:
        self._num_heard = num_heard
        self._tail = tail
        self._weight = np.linspace(1.0, 0.0, tail.size, endpoint=False, dtype=np.float32)

    def feed(self, samples: Samples) -> Samples:
        """Those of the next samples that are to be heard."""
        new = samples[self._num_heard :]
        self._num_heard -= samples.size - new.size
        num = min(new.size, self._tail.size)
        if num:
            new = new.copy()
            new[:num] += self._weight[:num] * (self._tail[:num] - new[:num])
            self._tail, self._weight = self._tail[num:], self._weight[num:]
        return new

    def flush(self) -> Samples:
        """What is left of the fade if the new sound ended within it."""
        rest: Samples = self._tail * self._weight
        self._tail = rest[:0]
        return rest

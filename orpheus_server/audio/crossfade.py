"""A crossfade from the audio of one attempt to that of another, in the middle of a chunk."""

import numpy as np

from orpheus_server.interfaces import Samples

CROSS_FADE_SEC = 0.01
"""Long enough to avoid a click, too short for two voices to be heard at the same time."""


class CrossFade:
    """Drops the first `num_heard` samples, then fades to the rest from `tail`.

    `num_heard` samples of the previous attempt were played, and `tail` would have followed them. If
    the audio of both attempts is equal, the result is equal to it bit for bit.
    """

    def __init__(self, num_heard: int, tail: Samples) -> None:
        self._num_heard = num_heard
        self._tail = tail
        self._weight = np.linspace(1.0, 0.0, tail.size, endpoint=False, dtype=np.float32)

    def feed(self, samples: Samples) -> Samples:
        """Returns the part of these samples that is to be played."""
        new = samples[self._num_heard :]
        self._num_heard -= samples.size - new.size
        num = min(new.size, self._tail.size)
        if num:
            new = new.copy()
            new[:num] += self._weight[:num] * (self._tail[:num] - new[:num])
            self._tail, self._weight = self._tail[num:], self._weight[num:]
        return new

    def flush(self) -> Samples:
        """Returns the rest of the fade if the new audio ended within it."""
        rest: Samples = self._tail * self._weight
        self._tail = rest[:0]
        return rest

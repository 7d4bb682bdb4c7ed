"""Estimates when the player of a stream runs dry, by which the codec orders its work."""

import math
import time
from collections.abc import Callable

HOLD_AHEAD_SEC = 1.0
"""How long before it is due audio is sent while it may still be withdrawn. With more, more of a
loop is sent before it is detected; with less, a late timer or a short network gap is heard."""

URGENT_SEC = 0.5
"""A player with less left waits for the engine: files pause. More than they take to resume."""


class PlaybackClock:
    """Models the player of one stream: it starts with the first sample and pauses when it runs dry.

    A file (`is_live` false) and chunks that are not played yet have no deadline.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        speed: float,
        is_live: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._samples_per_sec = sample_rate * speed
        self._is_live = is_live
        self._clock = clock
        self._has_started = False
        self._dry_at = -math.inf
        self._num_samples = 0
        self._chunk_start = 0
        self._chunk = -1

    def begin_chunk(self, chunk: int) -> None:
        """Notes that the next samples are of this chunk."""
        self._chunk, self._chunk_start = chunk, self._num_samples

    def add(self, num_samples: int) -> None:
        """Notes that samples are sent to the player."""
        now = self._clock()
        self._has_started = True
        self._dry_at = max(self._dry_at, now) + num_samples / self._samples_per_sec
        self._num_samples += num_samples

    @property
    def is_urgent(self) -> bool:
        """Whether the player of a stream has not started yet, or will soon run dry."""
        return not self._has_started or self._dry_at - self._clock() < URGENT_SEC

    def deadline(self, chunk: int, start: int) -> float:
        """Returns when the player needs the chunk's samples from `start` on; see `Deadline`."""
        if not self._is_live or chunk != self._chunk:
            return math.inf
        if not self._has_started:
            return -math.inf
        # Counted from when the player runs dry, so that late text does not make all the rest
        # overdue.
        num_missing = self._chunk_start + start - self._num_samples
        return self._dry_at + num_missing / self._samples_per_sec

    def hold_sec(self) -> float:
        """Returns how long the next samples can be held; 0 or less if they are due."""
        return self._dry_at - HOLD_AHEAD_SEC - self._clock()

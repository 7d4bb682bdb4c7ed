"""When the player of an answer runs dry: what the codec goes by when much is waiting."""

import math
import time
from collections.abc import Callable

HOLD_AHEAD_SEC = 1.0
"""Sound of a chunk that may yet be taken back leaves no sooner before it is due. More, and more of
a loop has left when it is certain to be one; less, and a late timer or a short gap of the network
is heard."""


class PlaybackClock:
    """The clock of one answer's player, started by the first sample and stopped where it is dry.

    Nobody plays a file before it is whole (`is_live` false), and nobody plays a later chunk yet:
    those are in no hurry.
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

    def turn_to(self, chunk: int) -> None:
        """This chunk is heard next."""
        self._chunk, self._chunk_start = chunk, self._num_samples

    def give(self, num_samples: int) -> None:
        """So many samples go to the player."""
        now = self._clock()
        self._has_started = True
        self._dry_at = max(self._dry_at, now) + num_samples / self._samples_per_sec
        self._num_samples += num_samples

    def deadline(self, chunk: int, start: int) -> float:
        """When it runs dry if it has no sample of the chunk from `start` on; see `Deadline`."""
        if not self._is_live or chunk != self._chunk:
            return math.inf
        if not self._has_started:
            return -math.inf
        # Of a player that never waits, text that came late would make all that follows overdue.
        num_missing = self._chunk_start + start - self._num_samples
        return self._dry_at + num_missing / self._samples_per_sec

    def hold_sec(self) -> float:
        """How long the next samples can be kept; 0 or less if it is time for them to go."""
        return self._dry_at - HOLD_AHEAD_SEC - self._clock()

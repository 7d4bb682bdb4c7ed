"""Limits how far ahead of its playback time audio is sent."""

import asyncio
import time
from collections.abc import Awaitable, Callable

MAX_AHEAD_SEC = 10.0
"""If higher, a client that reads at playback speed answers a ping too late, because it first reads
all audio sent before the ping; and a cancelled utterance wastes more. If lower, short interruptions
of the network become audible."""


class Pacer:
    """The playback clock of one utterance; starts with the first call of `wait_for`."""

    def __init__(
        self,
        sample_rate: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sample_rate = sample_rate
        self._clock = clock
        self._sleep = sleep
        self._started_at: float | None = None

    async def wait_for(self, sample: int) -> None:
        """Waits until this sample is due in at most `MAX_AHEAD_SEC`."""
        if self._started_at is None:
            self._started_at = self._clock()
        ahead_sec = self._started_at + sample / self._sample_rate - self._clock()
        if ahead_sec < 0.0:
            # The player had run out of samples, and starts again with this one.
            self._started_at -= ahead_sec
        if ahead_sec > MAX_AHEAD_SEC:
            await self._sleep(ahead_sec - MAX_AHEAD_SEC)

    def num_played(self, num_samples: int) -> int:
        """Returns how many of the first `num_samples` samples have been due so far."""
        if self._started_at is None:
            return 0
        return min(num_samples, int((self._clock() - self._started_at) * self._sample_rate))

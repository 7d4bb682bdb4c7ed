"""Sound goes out no more than so far ahead of when it is due."""

import asyncio
import time
from collections.abc import Awaitable, Callable

MAX_AHEAD_SEC = 10.0
"""A caller who reads as it plays answers a ping only behind all that was sent before it, and one
who cancels throws all of it away. Less, and a short gap of the network is heard."""


class Pacer:
    """The clock of one utterance, which starts with the first sample that is waited for."""

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
        """Returns when this sample is not too early to be sent."""
        if self._started_at is None:
            self._started_at = self._clock()
        ahead_sec = self._started_at + sample / self._sample_rate - self._clock()
        if ahead_sec < 0.0:
            # The player was dry, and starts again with this sample.
            self._started_at -= ahead_sec
        if ahead_sec > MAX_AHEAD_SEC:
            await self._sleep(ahead_sec - MAX_AHEAD_SEC)

    def num_played(self, num_samples: int) -> int:
        """Samples that have been due so far, of so many that were sent."""
        if self._started_at is None:
            return 0
        return min(num_samples, int((self._clock() - self._started_at) * self._sample_rate))

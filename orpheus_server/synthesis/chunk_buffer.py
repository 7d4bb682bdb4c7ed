"""Samples of one chunk on their way from the attempts that make them to whoever plays them."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import numpy as np

from orpheus_server.audio.samples import empty
from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.job import ChunkReport


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """It is not called any more."""


CallLater = Callable[[float, Callable[[], None]], Timer]


def _is_due() -> float:
    return 0.0


class ChunkBuffer:
    """Holds what was made and not taken; only what was taken cannot be taken back.

    It holds no more than one chunk, which the token limit of a generation bounds. `is_nearly_made`
    is set at its end, or before that once it has `num_expected` samples; `may_begin` is that of
    the chunk before, None if there is none. Until its end samples stay as long as `hold_sec` says
    of the next ones: a fault is certain only some time after it began.
    """

    num_expected = math.inf
    elapsed_sec = 0.0

    def __init__(
        self,
        *,
        may_begin: asyncio.Event | None = None,
        hold_sec: Callable[[], float] = _is_due,
        call_later: CallLater | None = None,
    ) -> None:
        self.may_begin = may_begin
        self.is_nearly_made = asyncio.Event()
        self.num_taken = 0
        self._hold_sec = hold_sec
        self._call_later = call_later
        self._num_samples = 0
        self._pieces: deque[Samples] = deque()
        self._report: ChunkReport | None = None
        self._error: Exception | None = None
        self._is_ended = False
        self._changed = asyncio.Event()

    @property
    def is_heard(self) -> bool:
        """True once a sample was taken."""
        return self.num_taken > 0

    def put(self, samples: Samples) -> None:
        """The next samples."""
        self._pieces.append(samples)
        self._num_samples += samples.size
        if self._num_samples >= self.num_expected:
            self.is_nearly_made.set()
        self._changed.set()

    def rewind(self) -> Samples:
        """Forgets what was not taken, and returns it."""
        untaken: Samples = np.concatenate([empty(), *self._pieces])
        self._pieces.clear()
        self._num_samples = self.num_taken
        return untaken

    def close(self, report: ChunkReport) -> None:
        """There will be no more samples."""
        self._report = report
        self._end()

    def fail(self, error: Exception) -> None:
        """There will be no more samples, and the taker is told why."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._is_ended = True
        self.is_nearly_made.set()
        self._changed.set()

    @property
    def num_samples(self) -> int:
        """Samples that were made, taken or not."""
        return self._num_samples

    @property
    def report(self) -> ChunkReport:
        """What it cost, once `take` has ended."""
        assert self._report is not None
        return self._report

    async def take(self, *, whole: bool) -> AsyncGenerator[Samples, None]:
        """Samples in order as they come, then the failure if there was one.

        With `whole` nothing is taken before the chunk is finished, so all its retries are free.
        """
        while True:
            if whole and self._error is not None:
                raise self._error
            while self._pieces and (self._is_ended or not whole):
                hold_sec = 0.0 if self._is_ended else self._hold_sec()
                if hold_sec > 0.0:
                    await self._wait(hold_sec)
                    continue
                piece = self._pieces.popleft()
                self.num_taken += piece.size
                yield piece
            if self._error is not None:
                raise self._error
            if self._is_ended:
                return
            await self._wait()

    async def _wait(self, limit_sec: float | None = None) -> None:
        """Until something has changed, or so long."""
        self._changed.clear()
        timer: Timer | None = None
        if limit_sec is not None:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            timer = call_later(limit_sec, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

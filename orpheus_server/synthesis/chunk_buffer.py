"""Buffers the samples of one chunk between the attempts that generate them and the player."""

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
        """Cancels the call."""


CallLater = Callable[[float, Callable[[], None]], Timer]


def _is_due() -> float:
    return 0.0


def _ignore() -> None:
    """For a chunk that no other one follows."""


class ChunkBuffer:
    """Holds samples until they are taken; those that were taken cannot be withdrawn any more.

    It holds at most one chunk, which the token limit of a generation bounds. `on_nearly_made` is
    called each time that it reaches `num_expected` samples. Before the end, samples are held for as
    long as `hold_sec` returns, because a fault becomes certain only some time after it started.
    """

    num_expected = math.inf
    elapsed_sec = 0.0

    def __init__(
        self,
        *,
        on_nearly_made: Callable[[], None] = _ignore,
        hold_sec: Callable[[], float] = _is_due,
        call_later: CallLater | None = None,
    ) -> None:
        self.num_taken = 0
        self._on_nearly_made = on_nearly_made
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
        """True after the first sample was taken."""
        return self.num_taken > 0

    def put(self, samples: Samples) -> None:
        """Appends samples."""
        self._pieces.append(samples)
        num_before, self._num_samples = self._num_samples, self._num_samples + samples.size
        if num_before < self.num_expected <= self._num_samples:
            self._on_nearly_made()
        self._changed.set()

    def rewind(self) -> Samples:
        """Removes and returns the samples that have not been taken."""
        untaken: Samples = np.concatenate([empty(), *self._pieces])
        self._pieces.clear()
        self._num_samples = self.num_taken
        return untaken

    def close(self, report: ChunkReport) -> None:
        """Ends the chunk."""
        self._report = report
        self._end()

    def fail(self, error: Exception) -> None:
        """Ends the chunk with an error, which `take` raises."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._is_ended = True
        self._changed.set()

    @property
    def num_samples(self) -> int:
        """Number of samples, taken or not."""
        return self._num_samples

    @property
    def report(self) -> ChunkReport:
        """The report of the chunk, available after `take` has ended."""
        assert self._report is not None
        return self._report

    async def take(self, *, whole: bool) -> AsyncGenerator[Samples, None]:
        """Yields the samples in order, then raises the error if there was one.

        With `whole` nothing is taken before the chunk is complete, so that every retry is free.
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
        """Waits for a change, at most `limit_sec`."""
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

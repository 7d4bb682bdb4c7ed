"""Samples of one chunk on their way from the attempts that make them to whoever plays them."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from orpheus_server.audio import Samples
from orpheus_server.guard import Verdict


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What one chunk cost; `verdict` tells why its audio is second best.

    `num_output_tokens` counts those of every attempt.
    """

    num_prompt_tokens: int
    num_output_tokens: int
    num_dropped_symbols: int
    num_attempts: int
    verdict: Verdict | None


class ChunkOutlet:
    """Holds what was made and not taken; once a sample is taken, the attempt is committed.

    It holds no more than one chunk, which the token limit of a generation bounds. `is_nearly_made`
    is set at its end, or before that once it has `num_expected` samples; `may_begin` is that of
    the chunk before, None if there is none.
    """

    num_expected = math.inf

    def __init__(self, *, may_begin: asyncio.Event | None = None) -> None:
        self.may_begin = may_begin
        self.is_nearly_made = asyncio.Event()
        self.is_heard = False
        self._num_samples = 0
        self._pieces: deque[Samples] = deque()
        self._report: ChunkReport | None = None
        self._error: Exception | None = None
        self._is_ended = False
        self._changed = asyncio.Event()

    def put(self, samples: Samples) -> None:
        """The next samples."""
        self._pieces.append(samples)
        self._num_samples += samples.size
        if self._num_samples >= self.num_expected:
            self.is_nearly_made.set()
        self._changed.set()

    def restart(self) -> None:
        """Forgets an attempt of which nothing was heard."""
        assert not self.is_heard, "what was heard cannot be taken back"
        self._pieces.clear()
        self._num_samples = 0

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
                self.is_heard = True
                yield self._pieces.popleft()
            if self._error is not None:
                raise self._error
            if self._is_ended:
                return
            self._changed.clear()
            await self._changed.wait()

"""Samples of one chunk on their way from the attempts that make them to whoever plays them."""

import asyncio
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

    It holds no more than one chunk, which the token limit of a generation bounds.
    """

    def __init__(self) -> None:
        self.is_heard = False
        self._pieces: deque[Samples] = deque()
        self._report: ChunkReport | None = None
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, samples: Samples) -> None:
        """The next samples."""
        self._pieces.append(samples)
        self._changed.set()

    def restart(self) -> None:
        """Forgets an attempt of which nothing was heard."""
        assert not self.is_heard, "what was heard cannot be taken back"
        self._pieces.clear()

    def close(self, report: ChunkReport) -> None:
        """There will be no more samples."""
        self._report = report
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """There will be no more samples, and the taker is told why."""
        self._error = error
        self._changed.set()

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
            is_ended = self._report is not None or self._error is not None
            if whole and self._error is not None:
                raise self._error
            while self._pieces and (is_ended or not whole):
                self.is_heard = True
                yield self._pieces.popleft()
                is_ended = self._report is not None or self._error is not None
            if self._error is not None:
                raise self._error
            if is_ended:
                return
            self._changed.clear()
            await self._changed.wait()

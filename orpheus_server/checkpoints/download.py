"""How far a download is, and how long the rest of it takes."""

import time
from collections.abc import Callable


class Download:
    """Progress of one download at a time, reported by the threads that write its files.

    The result is an estimate, so the counts have no lock. Files that have not begun are not
    counted; huggingface_hub begins eight at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forgets the last download; the time of the next one counts from now."""
        self._started = self._clock()
        self._total_bytes = self._written_bytes = self._fetched_bytes = 0

    def add_written(self, num_bytes: int, *, total_bytes: int) -> None:
        """Counts bytes that are on this machine now, of `total_bytes` in the files begun so far.

        Bytes of an earlier download that is resumed count too.
        """
        self._written_bytes += num_bytes
        self._total_bytes = total_bytes

    def add_fetched(self, num_bytes: int) -> None:
        """Counts bytes that were received; they measure the rate."""
        self._fetched_bytes += num_bytes

    @property
    def num_bytes_left(self) -> int:
        """Bytes still to be fetched; 0 if nothing is being downloaded."""
        return max(0, self._total_bytes - self._written_bytes)

    @property
    def left_sec(self) -> float:
        """Seconds that the rest takes at the rate so far; 0 until a rate is known."""
        if self._fetched_bytes <= 0:
            return 0.0
        elapsed_sec = self._clock() - self._started
        return self.num_bytes_left * elapsed_sec / self._fetched_bytes

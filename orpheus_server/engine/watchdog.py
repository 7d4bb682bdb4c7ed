"""Decides once per tick whether an engine has stalled or needs a probe."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

NUM_FAILURES_IN_DOUBT = 3
"""After this many failed generations in a row the engine may be at fault: a probe decides."""

MIN_PROBE_PAUSE_SEC = 5.0


class Verdict(Enum):
    """What a tick found."""

    HEALTHY = auto()
    NEEDS_PROBE = auto()
    STALLED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """The counters of one engine after the last tick.

    Time is counted in ticks, so a process that was suspended does not blame its engine.
    """

    stall_sec: float
    tick_sec: float
    num_deltas: int = 0
    was_waiting: bool = False
    stalled_sec: float = 0.0
    idle_sec: float = 0.0

    def tick(
        self, *, num_deltas: int, is_waiting: bool, num_failures_in_row: int
    ) -> tuple[Self, Verdict]:
        """Returns the counters after one more tick, and the verdict.

        `num_deltas` is how many deltas the engine has produced so far; `is_waiting` is whether a
        generation is waiting for its next delta.
        """
        stalled_sec, idle_sec = self.stalled_sec, self.idle_sec
        if num_deltas != self.num_deltas:
            stalled_sec = idle_sec = 0.0
        elif not is_waiting:
            idle_sec += self.tick_sec
        elif self.was_waiting:
            # Only a delta resets it: callers that give up one after the other do not hide a stall.
            stalled_sec += self.tick_sec
        verdict = Verdict.HEALTHY
        if stalled_sec >= self.stall_sec:
            verdict = Verdict.STALLED
        elif (
            idle_sec >= max(MIN_PROBE_PAUSE_SEC, self.stall_sec / 2)
            or num_failures_in_row >= NUM_FAILURES_IN_DOUBT
        ):
            verdict, idle_sec = Verdict.NEEDS_PROBE, 0.0
        watchdog = replace(
            self,
            num_deltas=num_deltas,
            was_waiting=is_waiting,
            stalled_sec=stalled_sec,
            idle_sec=idle_sec,
        )
        return watchdog, verdict

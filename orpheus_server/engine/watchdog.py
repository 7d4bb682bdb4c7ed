"""Decides once per tick whether an engine has stalled or needs a probe."""

from dataclasses import dataclass, replace
from typing import Literal, Self

Verdict = Literal["healthy", "needs probe", "stalled"]

NUM_FAILURES_IN_DOUBT = 3
"""After this many failed generations in a row the engine may be at fault: a probe decides."""

MIN_PROBE_PAUSE_SEC = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """The counters of one engine as of the last tick.

    Time is counted in ticks, so an engine is not blamed while the process itself is suspended.
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

        `num_deltas` counts all deltas of the engine so far. `is_waiting` says whether a generation
        is waiting for its next one.
        """
        stalled_sec, idle_sec = self.stalled_sec, self.idle_sec
        if num_deltas != self.num_deltas:
            stalled_sec = idle_sec = 0.0
        elif not is_waiting:
            idle_sec += self.tick_sec
        elif self.was_waiting:
            # Only a delta resets it: callers that give up one after the other do not hide a stall.
            stalled_sec += self.tick_sec
        verdict: Verdict = "healthy"
        if stalled_sec >= self.stall_sec:
            verdict = "stalled"
        elif (
            idle_sec >= max(MIN_PROBE_PAUSE_SEC, self.stall_sec / 2)
            or num_failures_in_row >= NUM_FAILURES_IN_DOUBT
        ):
            verdict, idle_sec = "needs probe", 0.0
        watchdog = replace(
            self,
            num_deltas=num_deltas,
            was_waiting=is_waiting,
            stalled_sec=stalled_sec,
            idle_sec=idle_sec,
        )
        return watchdog, verdict

"""How long a request is expected to wait for its slot, from how long slots have been held."""

import math
from collections.abc import Sequence

from orpheus_server.synthesis.fair_queue import Lane

FIRST_HOLD_SEC = 2.0
"""Hold time assumed until slots have been given back."""

MAX_RETRY_AFTER_SEC = 120
"""OpenAI's SDK ignores a longer time."""

_MAX_HOLD_SEC = 60.0
"""Longer holds count as this: the average soon forgets a single long one."""

_NEWEST_SHARE = 0.1
"""Weight of the newest hold in the moving average."""


class WaitEstimate:
    """Moving average of the hold times of each lane, and the waits to expect from it."""

    def __init__(self) -> None:
        self._hold_sec: dict[Lane, float] = {"interactive": FIRST_HOLD_SEC, "bulk": FIRST_HOLD_SEC}

    def observe(self, lane: Lane, held_sec: float) -> None:
        """Updates the lane's average with a slot that was given back."""
        error_sec = min(_MAX_HOLD_SEC, held_sec) - self._hold_sec[lane]
        self._hold_sec[lane] += _NEWEST_SHARE * error_sec

    def wait_sec(self, num_ahead: int, held: Sequence[tuple[Lane, float]], num_slots: int) -> float:
        """Expected wait of a new request with `num_ahead` requests ahead of it.

        `held` lists the slots in use: lane and seconds held so far, which is the least that the
        slot will be held in all.
        """
        hold_secs = [max(self._hold_sec[lane], held_sec) for lane, held_sec in held]
        mean_sec = sum(hold_secs) / len(held) if held else self._hold_sec["interactive"]
        return (num_ahead + 1) * mean_sec / num_slots


def retry_after_sec(wait_sec: float) -> int:
    """Whole seconds for the `Retry-After` header, from 1 to `MAX_RETRY_AFTER_SEC`."""
    return min(MAX_RETRY_AFTER_SEC, max(1, math.ceil(wait_sec)))

"""Limits how often a lost engine is restarted, and how soon after the last restart."""

from collections import deque

WINDOW_SEC = 600.0
"""Restarts within this time count together."""

LONGEST_PAUSE_SEC = 30.0
"""Before a restart, when many have failed."""


class RestartBudget:
    """Allows `max_restarts` within ten minutes, each after a longer pause than the one before.

    The first pause is short but not zero: Ctrl-C in a terminal ends the engine's processes too,
    and a server that is about to stop should not restart them.
    """

    def __init__(self, max_restarts: int, first_pause_sec: float) -> None:
        self._max_restarts = max_restarts
        self._first_pause_sec = first_pause_sec
        self._taken_at: deque[float] = deque()

    def take(self, now_sec: float) -> float | None:
        """Returns the seconds to wait before the next restart, or None if none is left."""
        taken_at = self._taken_at
        while taken_at and taken_at[0] <= now_sec - WINDOW_SEC:
            taken_at.popleft()
        num_taken = len(taken_at)
        if num_taken >= self._max_restarts:
            return None
        taken_at.append(now_sec)
        return min(LONGEST_PAUSE_SEC, 2.0**num_taken) if num_taken else self._first_pause_sec

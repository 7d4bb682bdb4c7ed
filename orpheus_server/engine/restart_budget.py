"""How often, and how soon after another, a lost engine is started again."""

from collections import deque

WINDOW_SEC = 600.0
"""Restarts within this time count together."""

LONGEST_PAUSE_SEC = 30.0
"""Between two starts of an engine that does not stay."""


class RestartBudget:
    """At most `max_restarts` within ten minutes, each after a longer pause than the one before.

    The first pause is short and not nothing: Ctrl-C in a terminal ends the engine's processes too,
    and a server that is about to close should not start them again.
    """

    def __init__(self, max_restarts: int, first_pause_sec: float) -> None:
        self._max_restarts = max_restarts
        self._first_pause_sec = first_pause_sec
        self._taken_at: deque[float] = deque()

    def take(self, now_sec: float) -> float | None:
        """Seconds to wait before the next restart, or None: there is none left."""
        taken_at = self._taken_at
        while taken_at and taken_at[0] <= now_sec - WINDOW_SEC:
            taken_at.popleft()
        num_taken = len(taken_at)
        if num_taken >= self._max_restarts:
            return None
        taken_at.append(now_sec)
        return min(LONGEST_PAUSE_SEC, 2.0**num_taken) if num_taken else self._first_pause_sec

"""Limits how many sessions or replies each caller may have open."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from orpheus_server.errors import RateLimited


class CallerSlots:
    """Gives each caller at most `num_slots` slots at a time; `label` names them in the error."""

    def __init__(self, num_slots: int, *, label: str) -> None:
        self._num_slots = num_slots
        self._label = label
        self._num_taken: Counter[str] = Counter()

    @property
    def num_taken(self) -> int:
        """The number of slots that all callers together have taken."""
        return self._num_taken.total()

    def check(self, caller: str) -> None:
        """Raises `RateLimited` if this caller has no slot left."""
        if self._num_taken[caller] >= self._num_slots:
            raise RateLimited(
                f"You have {self._num_slots} {self._label} open, as many as one caller may have; "
                "close one first."
            )

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Takes a slot while the block runs; raises as `check` does."""
        self.check(caller)
        self._num_taken[caller] += 1
        try:
            yield
        finally:
            self._num_taken[caller] -= 1
            if self._num_taken[caller] == 0:
                # Callers may be any number of addresses, so those without a slot are not kept.
                del self._num_taken[caller]

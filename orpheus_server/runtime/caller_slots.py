"""How many of something each caller has open, with a limit for each of them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from orpheus_server.errors import RateLimited


class CallerSlots:
    """At most `num_slots` at once for each caller. `label` names them in the error."""

    def __init__(self, num_slots: int, *, label: str) -> None:
        self._num_slots = num_slots
        self._label = label
        self._num_taken: Counter[str] = Counter()

    @property
    def num_taken(self) -> int:
        """By all callers together."""
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
        """A slot for as long as the block runs; raises as `check` does."""
        self.check(caller)
        self._num_taken[caller] += 1
        try:
            yield
        finally:
            self._num_taken[caller] -= 1
            if self._num_taken[caller] == 0:
                # Addresses come and go; those that are gone are not kept.
                del self._num_taken[caller]

"""Which waiting request is served next.

Resumed requests first, then streams, then files. Within each lane callers take turns, and equals
are served oldest first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Lane = Literal["resumed", "interactive", "bulk"]
"""Resumed after a pause; a stream, played while it is generated; a whole file."""

NEW_LANES: tuple[Lane, ...] = ("interactive", "bulk")
LANES: tuple[Lane, ...] = ("resumed", *NEW_LANES)

_BULK_FIRST: tuple[Lane, ...] = ("resumed", "bulk", "interactive")

BULK_EVERY = 8
"""Every eighth call prefers files: a steady flow of streams would starve them."""

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Waiter(Generic[Item]):
    """A queued request."""

    caller: str
    lane: Lane
    item: Item


def num_ahead(caller: str, counts: Mapping[str, int]) -> int:
    """Requests served before the caller's next one, from how many each caller has waiting.

    Callers take turns, so each other caller counts with at most one more than this caller has.
    """
    most = counts.get(caller, 0) + 1
    return sum(min(num, most) for num in counts.values())


class FairQueue(Generic[Item]):
    """Queued requests in order of arrival."""

    def __init__(self) -> None:
        # Dictionaries keep the order of arrival and remove any entry in constant time.
        self._lanes: dict[Lane, dict[Waiter[Item], None]] = {lane: {} for lane in LANES}
        self._num_calls = 0

    def __len__(self) -> int:
        return sum(len(waiters) for waiters in self._lanes.values())

    def num_in(self, lane: Lane) -> int:
        return len(self._lanes[lane])

    def num_of(self, caller: str) -> int:
        return self._counts(LANES)[caller]

    def push(self, waiter: Waiter[Item]) -> None:
        """Adds a request to the end of its lane."""
        self._lanes[waiter.lane][waiter] = None

    def remove(self, waiter: Waiter[Item]) -> None:
        """Removes a request; does nothing if it is not queued."""
        self._lanes[waiter.lane].pop(waiter, None)

    def pop(self, in_use: Mapping[str, int], *, is_bulk_allowed: bool) -> Waiter[Item] | None:
        """Removes and returns the next request; `in_use` is how many slots each caller has now."""
        self._num_calls += 1
        is_bulk_call = self._num_calls % BULK_EVERY == 0
        for lane in _BULK_FIRST if is_bulk_call else LANES:
            waiters = self._lanes[lane]
            if waiters and (lane != "bulk" or is_bulk_allowed):
                # `min` returns the first of equals, which is the oldest.
                waiter = min(waiters, key=lambda waiter: in_use.get(waiter.caller, 0))
                del waiters[waiter]
                return waiter
        return None

    def num_before(self, caller: str, lane: Lane) -> int:
        """Requests that would be served before a new one if no others arrived."""
        earlier = LANES[: LANES.index(lane)]
        return num_ahead(caller, self._counts((lane,))) + sum(map(self.num_in, earlier))

    def newest_of_largest(self) -> Waiter[Item] | None:
        """Newest request, files first, of the caller with the most new requests; not removed."""
        counts = self._counts(NEW_LANES)
        if not counts:
            return None
        (largest, _), *_ = counts.most_common(1)
        newest_first = (
            each for lane in reversed(NEW_LANES) for each in reversed(self._lanes[lane])
        )
        return next(waiter for waiter in newest_first if waiter.caller == largest)

    def take_newcomers(self) -> list[Waiter[Item]]:
        """Removes and returns all requests but the resumed ones."""
        newcomers = [waiter for lane in NEW_LANES for waiter in self._lanes[lane]]
        for lane in NEW_LANES:
            self._lanes[lane].clear()
        return newcomers

    def _counts(self, lanes: tuple[Lane, ...]) -> Counter[str]:
        return Counter(waiter.caller for lane in lanes for waiter in self._lanes[lane])

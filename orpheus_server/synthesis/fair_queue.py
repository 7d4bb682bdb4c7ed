"""Who is next: who goes on, then streams before files, in turn between callers, oldest first."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Lane = Literal["resumed", "interactive", "bulk"]
"""Goes on after a pause; somebody listens while it is made; takes a whole file."""

LANES: tuple[Lane, ...] = ("resumed", "interactive", "bulk")

_BULK_FIRST: tuple[Lane, ...] = ("resumed", "bulk", "interactive")

BULK_EVERY = 8
"""Every eighth call is a file's, if one waits: streams that keep coming would starve them all."""

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Waiter(Generic[Item]):
    """A request that waits."""

    caller: str
    lane: Lane
    item: Item


class FairQueue(Generic[Item]):
    """Those who wait, in the order in which they came."""

    def __init__(self) -> None:
        # Dictionaries keep the order of arrival, and forget quickly.
        self._lanes: dict[Lane, dict[Waiter[Item], None]] = {lane: {} for lane in LANES}
        self._num_calls = 0

    def __len__(self) -> int:
        return sum(len(waiters) for waiters in self._lanes.values())

    def num_in(self, lane: Lane) -> int:
        """How many wait in this lane."""
        return len(self._lanes[lane])

    def num_of(self, caller: str) -> int:
        """How many of this caller wait."""
        return self._counts()[caller]

    def push(self, waiter: Waiter[Item]) -> None:
        """The newest."""
        self._lanes[waiter.lane][waiter] = None

    def remove(self, waiter: Waiter[Item]) -> None:
        """Takes one out, if it is still there."""
        self._lanes[waiter.lane].pop(waiter, None)

    def pop(self, in_hand: Mapping[str, int], *, is_bulk_allowed: bool) -> Waiter[Item] | None:
        """Takes the next one out; `in_hand` is how many of each caller are served now."""
        self._num_calls += 1
        is_bulk_call = self._num_calls % BULK_EVERY == 0
        for lane in _BULK_FIRST if is_bulk_call else LANES:
            waiters = self._lanes[lane]
            if waiters and (lane != "bulk" or is_bulk_allowed):
                # The first of equals is the oldest.
                waiter = min(waiters, key=lambda waiter: in_hand.get(waiter.caller, 0))
                del waiters[waiter]
                return waiter
        return None

    def num_before(self, caller: str, lane: Lane) -> int:
        """How many would be served before a newcomer, if nobody else came.

        In each lane the callers take turns, so of the others no more count than this one has.
        """
        earlier = LANES[: LANES.index(lane)]
        return self._num_ahead_in(caller, lane) + sum(self.num_in(other) for other in earlier)

    def newest_of_largest(self) -> Waiter[Item] | None:
        """The last newcomer of whoever has the most of them here, files first."""
        counts = self._counts("interactive") + self._counts("bulk")
        if not counts:
            return None
        (largest, _), *_ = counts.most_common(1)
        for lane in reversed(LANES[1:]):
            for waiter in reversed(self._lanes[lane]):
                if waiter.caller == largest:
                    return waiter
        return None

    def take_newcomers(self) -> list[Waiter[Item]]:
        """All but those who go on."""
        newcomers = [waiter for lane in LANES[1:] for waiter in self._lanes[lane]]
        for lane in LANES[1:]:
            self._lanes[lane].clear()
        return newcomers

    def _num_ahead_in(self, caller: str, lane: Lane) -> int:
        counts = self._counts(lane)
        return sum(min(num, counts[caller] + 1) for num in counts.values())

    def _counts(self, lane: Lane | None = None) -> Counter[str]:
        lanes = LANES if lane is None else (lane,)
        return Counter(waiter.caller for name in lanes for waiter in self._lanes[name])

"""Who may be spoken now, who waits, and who is told to come back."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from orpheus_server.errors import EngineUnavailable, Overloaded, RateLimited, ShuttingDown
from orpheus_server.fair_queue import FairQueue, Lane, Place

BULK_SHARE = 0.75
"""Share of the capacity that whole files may take: a stream that comes finds the rest free."""

MAX_WAITING = 1000
"""Each holds a connection and its text; more wait in vain for any time that a caller would wait."""

MAX_RETRY_AFTER_SEC = 120
"""OpenAI's SDK does not try again at all if it is told a longer time."""

_FIRST_HOLD_SEC = 2.0
_HOLD_FOLLOW_SHARE = 0.1
"""Time that a request is spoken: what is believed at first, and how quickly it follows."""

RejectionReason = Literal["overloaded", "waited_too_long", "rate_limited", "shutting_down"]


class Ticket:
    """The right to be spoken now; given back once, when all is made or nobody wants it."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def release(self) -> None:
        """The next one's turn; a second time does nothing."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class Admission:
    """Bounds who is spoken and who waits; used from one event loop.

    `num_streams` tells the capacity at any moment. With `max_per_caller` a caller has no more than
    that many requests, spoken and waiting together.
    """

    def __init__(
        self,
        num_streams: Callable[[], int],
        *,
        max_wait_sec: float,
        max_per_caller: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_streams = num_streams
        self._max_wait_sec = max_wait_sec
        self._max_per_caller = max_per_caller
        self._clock = clock
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._in_hand: Counter[str] = Counter()
        self._num_bulk = 0
        self._hold_sec = _FIRST_HOLD_SEC
        self._is_closed = False
        self.num_delivering = 0
        self.rejections: Counter[RejectionReason] = Counter()

    @property
    def num_running(self) -> int:
        """Requests that are spoken now."""
        return self._in_hand.total()

    @property
    def num_waiting(self) -> int:
        """Requests whose turn has not come."""
        return len(self._queue)

    @property
    def is_open(self) -> bool:
        """True if a stream of a new caller would not be refused at once."""
        return self._refusal("", "interactive") is None

    def check(self, caller: str, lane: Lane) -> None:
        """Raises what a newcomer would be told at once; one who would wait is told nothing."""
        refusal = self._refusal(caller, lane)
        if refusal is not None:
            raise self._reject(*refusal)

    @asynccontextmanager
    async def admit(self, caller: str, lane: Lane) -> AsyncIterator[Ticket]:
        """A ticket once it is the caller's turn, given back at the latest when the block ends.

        Raises `Overloaded`, `RateLimited` and `ShuttingDown`; leaving while it waits is free.
        """
        # The capacity may have grown since anybody left.
        self._call_next()
        self.check(caller, lane)
        if self._must_wait(lane):
            await self._wait(caller, lane)
        else:
            self._take(caller, lane)
        started = self._clock()

        def give_back() -> None:
            held_sec = self._clock() - started
            self._hold_sec += _HOLD_FOLLOW_SHARE * (held_sec - self._hold_sec)
            self._put_back(caller, lane)
            self.num_delivering += 1

        ticket = Ticket(give_back)
        try:
            yield ticket
        finally:
            ticket.release()
            self.num_delivering -= 1

    def close(self) -> None:
        """Nobody is admitted any more, and those who wait are told."""
        self._is_closed = True
        for place in self._queue.take_all():
            self._refuse(place, self._reject("shutting_down"))

    async def _wait(self, caller: str, lane: Lane) -> None:
        if len(self._queue) >= MAX_WAITING:
            self._make_room(caller, lane)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = Place(caller, lane, turn)
        self._queue.push(place)
        try:
            async with asyncio.timeout(self._max_wait_sec):
                await turn
        except TimeoutError:
            self._leave(place)
            raise self._reject("waited_too_long", self._expected_wait_sec(caller, lane)) from None
        except asyncio.CancelledError:
            self._leave(place)
            raise

    def _leave(self, place: Place[asyncio.Future[None]]) -> None:
        self._queue.remove(place)
        if place.item.done() and not place.item.cancelled() and not place.item.exception():
            # Its turn came in the same moment.
            self._put_back(place.caller, place.lane)

    def _make_room(self, caller: str, lane: Lane) -> None:
        """Whoever has the most in the line leaves it for one who has less."""
        place = self._queue.newest_of_largest()
        if place is None or self._queue.num_of(place.caller) <= self._queue.num_of(caller) + 1:
            raise self._reject("overloaded", self._expected_wait_sec(caller, lane))
        self._queue.remove(place)
        wait_sec = self._expected_wait_sec(place.caller, place.lane)
        self._refuse(place, self._reject("overloaded", wait_sec))

    def _refuse(self, place: Place[asyncio.Future[None]], error: Exception) -> None:
        if not place.item.done():
            place.item.set_exception(error)

    def _refusal(self, caller: str, lane: Lane) -> tuple[RejectionReason, float] | None:
        """Why a newcomer would be refused, and in how many seconds it may try again."""
        if self._is_closed:
            return "shutting_down", 0.0
        own = self._in_hand.get(caller, 0) + self._queue.num_of(caller)
        if self._max_per_caller is not None and own >= self._max_per_caller:
            return "rate_limited", 0.0
        too_long_sec = self._expected_wait_sec(caller, lane) - self._max_wait_sec
        if self._must_wait(lane) and too_long_sec > 0:
            return "overloaded", too_long_sec
        return None

    def _must_wait(self, lane: Lane) -> bool:
        if lane == "bulk":
            return self.num_waiting > 0 or not self._has_bulk_room()
        # Files that wait for their share do not hold up a stream.
        is_full = self.num_running >= self._num_streams()
        return is_full or self._queue.num_in("interactive") > 0

    def _has_bulk_room(self) -> bool:
        num_streams = self._num_streams()
        is_free = self.num_running < num_streams
        return is_free and self._num_bulk < max(1, int(BULK_SHARE * num_streams))

    def _take(self, caller: str, lane: Lane) -> None:
        self._in_hand[caller] += 1
        self._num_bulk += lane == "bulk"

    def _put_back(self, caller: str, lane: Lane) -> None:
        self._in_hand[caller] -= 1
        if not self._in_hand[caller]:
            del self._in_hand[caller]
        self._num_bulk -= lane == "bulk"
        self._call_next()

    def _call_next(self) -> None:
        while self.num_running < self._num_streams():
            place = self._queue.pop(self._in_hand, is_bulk_allowed=self._has_bulk_room())
            if place is None:
                return
            if not place.item.done():
                self._take(place.caller, place.lane)
                place.item.set_result(None)

    def _expected_wait_sec(self, caller: str, lane: Lane) -> float:
        num_before = self._queue.num_before(caller, lane)
        return (num_before + 1) * self._hold_sec / self._num_streams()

    def _reject(
        self, reason: RejectionReason, wait_sec: float = 0.0
    ) -> EngineUnavailable | RateLimited:
        self.rejections[reason] += 1
        if reason == "shutting_down":
            return ShuttingDown("The server is stopping; another one may take the request.")
        if reason == "rate_limited":
            return RateLimited(
                f"This key has {self._max_per_caller} requests in hand already, which is its limit."
            )
        seconds = min(MAX_RETRY_AFTER_SEC, max(1, math.ceil(wait_sec)))
        return Overloaded(
            "More speech is asked for than this server can make in real time; try again in "
            f"{seconds} s.",
            retry_after_sec=seconds,
        )

"""Who may be spoken now, who waits, and who is told to come back."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from orpheus_server.errors import EngineUnavailable, Overloaded, RateLimited, ShuttingDown
from orpheus_server.synthesis.fair_queue import FairQueue, Lane, Waiter, num_ahead
from orpheus_server.synthesis.wait_estimate import FIRST_HOLD_SEC, WaitEstimate, retry_after_sec

BULK_SHARE = 0.75
"""Share of the capacity that whole files may take: a stream that comes finds the rest free."""

MAX_WAITING = 1000
"""Each holds a connection and its text; more wait in vain for any time that a caller would wait."""

LOOK_SEC = 1.0
"""The capacity grows without telling: those who wait look so often whether it has."""

RejectionReason = Literal["overloaded", "waited_too_long", "rate_limited", "shutting_down"]


class EngineSlot:
    """One request's slot in the engine, held while a chunk of it is to be made.

    A request whose reader or writer is slow gives the slot back until it goes on; it then goes
    before all newcomers and is not refused. Raises where it waits for the first time.
    """

    def __init__(self, admission: "Admission", caller: str, lane: Lane) -> None:
        self.caller = caller
        self.lane: Lane = lane
        self.waited_sec = 0.0
        self.held_since: float | None = None
        self.has_begun = False
        self.is_coming = False
        self._admission = admission
        self._num_chunks = 0
        self._entering = asyncio.Lock()
        self._rejection: Exception | None = None

    def add_chunk(self) -> None:
        """One more chunk is to be made."""
        self._num_chunks += 1

    async def wait(self) -> None:
        """Until it holds its slot. Raises `Overloaded` and `ShuttingDown` for a newcomer."""
        async with self._entering:
            if self.held_since is not None:
                return
            if self._rejection is not None:
                raise self._rejection
            try:
                await self._admission.enter(self)
            except EngineUnavailable as error:
                self._rejection = error
                raise

    def end_chunk(self) -> None:
        """One less; with the last one the slot is given back."""
        self._num_chunks -= 1
        if self._num_chunks == 0:
            self.give_back()

    @property
    def is_paused(self) -> bool:
        """True while all that is known of it is made, and not all was taken."""
        return self.has_begun and self.held_since is None and not self._entering.locked()

    def give_back(self) -> None:
        """Does nothing where the slot is not held."""
        if self.held_since is not None:
            self._admission.leave(self)


class Admission:
    """Bounds who is spoken and who waits; used from one event loop.

    `num_streams` tells the capacity at any moment. With `max_per_caller` a caller has no more than
    that many requests at once.
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
        self._open: Counter[str] = Counter()
        self._slots: set[EngineSlot] = set()
        self._running: dict[EngineSlot, None] = {}
        self._called: Counter[str] = Counter()
        self._num_called_bulk = 0
        self._coming: Counter[str] = Counter()
        self._estimate = WaitEstimate()
        self._is_closed = False
        self.rejections: Counter[RejectionReason] = Counter()

    @property
    def num_running(self) -> int:
        """Requests that are spoken now."""
        return len(self._running) + self._called.total()

    @property
    def num_waiting(self) -> int:
        """Requests that wait for their slot."""
        return len(self._queue)

    @property
    def num_delivering(self) -> int:
        """Requests of which all that is known is made, and not all was taken yet."""
        return sum(slot.is_paused for slot in self._slots)

    @property
    def is_open(self) -> bool:
        """True if a stream of a new caller would not be refused at once."""
        return self._rejection("", "interactive") is None

    def check(self, caller: str, lane: Lane) -> None:
        """Raises what a newcomer would be told at once; one who would wait is told nothing."""
        self._call_next()
        rejection = self._rejection(caller, lane)
        if rejection is not None:
            raise self._reject(*rejection)

    @contextmanager
    def reserve(self, caller: str, lane: Lane, *, is_coming: bool = False) -> Iterator[EngineSlot]:
        """For one request. Raises as `check` does.

        One that `is_coming` will ask for its slot soon, and counts as one that waits: of a crowd
        that comes at once, those who are too many learn it before any work is done for them.
        """
        self.check(caller, lane)
        slot = EngineSlot(self, caller, lane)
        slot.is_coming = is_coming
        if is_coming:
            self._coming[caller] += 1
        self._open[caller] += 1
        self._slots.add(slot)
        try:
            yield slot
        finally:
            slot.give_back()
            self._note_arrival(slot)
            self._slots.remove(slot)
            _count_down(self._open, caller)

    def close(self) -> None:
        """Nobody new is admitted any more, and those who wait are told."""
        self._is_closed = True
        for waiter in self._queue.take_newcomers():
            self._fail(waiter, self._reject("shutting_down"))

    async def enter(self, slot: EngineSlot) -> None:
        """Lets a slot be held, now or later; leaving while it waits is free."""
        lane: Lane = "resumed" if slot.has_begun else slot.lane
        self._note_arrival(slot)
        self._call_next()
        requested_at = self._clock()
        if lane != "resumed" and self._is_closed:
            raise self._reject("shutting_down")
        if self._must_wait(lane):
            waiter = await self._wait(slot.caller, lane)
            self._settle(waiter)
        if not slot.has_begun:
            slot.waited_sec = self._clock() - requested_at
        slot.has_begun = True
        slot.held_since = self._clock()
        self._running[slot] = None

    def leave(self, slot: EngineSlot) -> None:
        """Frees the slot for the next one."""
        assert slot.held_since is not None
        self._estimate.observe(slot.lane, self._clock() - slot.held_since)
        slot.held_since = None
        del self._running[slot]
        self._call_next()

    def _note_arrival(self, slot: EngineSlot) -> None:
        if slot.is_coming:
            slot.is_coming = False
            _count_down(self._coming, slot.caller)

    async def _wait(self, caller: str, lane: Lane) -> Waiter[asyncio.Future[None]]:
        if lane != "resumed" and len(self._queue) >= MAX_WAITING:
            self._evict_for(caller, lane)
        waiter = Waiter(caller, lane, asyncio.get_running_loop().create_future())
        self._queue.push(waiter)
        try:
            async with asyncio.timeout(None if lane == "resumed" else self._max_wait_sec):
                while not waiter.item.done():
                    await asyncio.wait({waiter.item}, timeout=LOOK_SEC)
                    self._call_next()
        except TimeoutError:
            self._give_up(waiter)
            wait_sec = max(FIRST_HOLD_SEC, self._expected_wait_sec(caller, lane))
            raise self._reject("waited_too_long", wait_sec) from None
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise
        await waiter.item
        return waiter

    def _give_up(self, waiter: Waiter[asyncio.Future[None]]) -> None:
        self._queue.remove(waiter)
        if waiter.item.done() and not waiter.item.exception():
            # It was called in the same moment.
            self._settle(waiter)
            self._call_next()

    def _settle(self, waiter: Waiter[asyncio.Future[None]]) -> None:
        _count_down(self._called, waiter.caller)
        self._num_called_bulk -= waiter.lane == "bulk"

    def _evict_for(self, caller: str, lane: Lane) -> None:
        """Whoever has the most in the line leaves it for one who has less."""
        waiter = self._queue.newest_of_largest()
        if waiter is None or self._queue.num_of(waiter.caller) <= self._queue.num_of(caller) + 1:
            raise self._reject("overloaded", self._expected_wait_sec(caller, lane))
        self._queue.remove(waiter)
        wait_sec = self._expected_wait_sec(waiter.caller, waiter.lane)
        self._fail(waiter, self._reject("overloaded", wait_sec))

    def _fail(self, waiter: Waiter[asyncio.Future[None]], error: Exception) -> None:
        if not waiter.item.done():
            waiter.item.set_exception(error)

    def _rejection(self, caller: str, lane: Lane) -> tuple[RejectionReason, float] | None:
        """Why a newcomer would be refused, and in how many seconds it may try again."""
        if self._is_closed:
            return "shutting_down", 0.0
        if self._max_per_caller is not None and self._open[caller] >= self._max_per_caller:
            return "rate_limited", 0.0
        too_long_sec = self._expected_wait_sec(caller, lane) - self._max_wait_sec
        is_full = self.num_running + self._coming.total() >= self._num_streams()
        if (is_full or self._must_wait(lane)) and too_long_sec > 0:
            return "overloaded", too_long_sec
        return None

    def _must_wait(self, lane: Lane) -> bool:
        if lane == "bulk":
            return self.num_waiting > 0 or not self._has_bulk_capacity()
        # Files that wait for their share do not hold up a stream.
        is_passed = lane == "interactive" and self._queue.num_in("interactive") > 0
        is_full = self.num_running >= self._num_streams()
        return is_full or is_passed or self._queue.num_in("resumed") > 0

    def _has_bulk_capacity(self) -> bool:
        num_streams = self._num_streams()
        num_bulk = sum(slot.lane == "bulk" for slot in self._running) + self._num_called_bulk
        is_free = self.num_running < num_streams
        return is_free and num_bulk < max(1, int(BULK_SHARE * num_streams))

    def _call_next(self) -> None:
        while len(self._queue) and self.num_running < self._num_streams():
            in_hand = self._called + Counter(slot.caller for slot in self._running)
            waiter = self._queue.pop(in_hand, is_bulk_allowed=self._has_bulk_capacity())
            if waiter is None:
                return
            if not waiter.item.done():
                self._called[waiter.caller] += 1
                self._num_called_bulk += waiter.lane == "bulk"
                waiter.item.set_result(None)

    def _expected_wait_sec(self, caller: str, lane: Lane) -> float:
        # Coming requests may wait long for their language model, so callers share here as well.
        num_before = self._queue.num_before(caller, lane) + num_ahead(caller, self._coming)
        now = self._clock()
        held = [(slot.lane, now - (slot.held_since or now)) for slot in self._running]
        return self._estimate.wait_sec(num_before, held, self._num_streams())

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
        seconds = retry_after_sec(wait_sec)
        return Overloaded(
            "More speech is asked for than this server can make in real time; try again in "
            f"{seconds} s.",
            retry_after_sec=seconds,
        )


def _count_down(counts: Counter[str], caller: str) -> None:
    counts[caller] -= 1
    if not counts[caller]:
        # Callers come and go; those that are gone are not kept.
        del counts[caller]

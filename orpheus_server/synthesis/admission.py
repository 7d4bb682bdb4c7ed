"""Which requests hold a slot in the engine, which wait for one, and which are rejected."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from orpheus_server.errors import OrpheusError, Overloaded, RateLimited, ShuttingDown
from orpheus_server.synthesis.engine_slot import EngineSlot, SlotState
from orpheus_server.synthesis.fair_queue import FairQueue, Lane, Waiter, num_ahead
from orpheus_server.synthesis.wait_estimate import FIRST_HOLD_SEC, WaitEstimate, retry_after_sec

BULK_SHARE = 0.75
"""Share of the capacity that whole files may use: the rest stays free for new streams."""

MAX_WAITING = 1000
"""Each waiting request holds a connection and its text; no client would wait for a later turn."""

LOOK_SEC = 1.0
"""Interval at which waiting requests check the capacity, which grows without notice."""

RejectionReason = Literal["overloaded", "waited_too_long", "rate_limited", "shutting_down"]


class Admission:
    """Bounds how many requests are synthesised and how many wait; used from one event loop.

    `num_streams` returns the current capacity. With `max_per_caller` a caller has at most that many
    requests at once.
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
        # All slots that are not closed, by state; the inner dictionaries are ordered sets.
        self._slots: dict[SlotState, dict[EngineSlot, None]] = {state: {} for state in SlotState}
        self._queue: FairQueue[EngineSlot] = FairQueue()
        self._estimate = WaitEstimate()
        self._is_closed = False
        self.rejections: Counter[RejectionReason] = Counter()

    @property
    def num_running(self) -> int:
        """Requests that have their slot."""
        return len(self._slots[SlotState.CALLED]) + len(self._slots[SlotState.RUNNING])

    @property
    def num_waiting(self) -> int:
        return len(self._slots[SlotState.WAITING])

    @property
    def num_delivering(self) -> int:
        """Requests that are synthesised as far as their text is known, and not yet read."""
        return len(self._slots[SlotState.PAUSED])

    @property
    def is_open(self) -> bool:
        """True if a stream of a new caller would not be rejected at once."""
        return self._rejection("", "interactive") is None

    def check(self, caller: str, lane: Lane, *, waited_sec: float = 0.0) -> None:
        """Raises if a new request would be rejected at once; one that would wait passes."""
        self._call_next()
        if rejection := self._rejection(caller, lane, waited_sec=waited_sec):
            raise self._reject(*rejection)

    @contextmanager
    def reserve(
        self, caller: str, lane: Lane, *, is_coming: bool = False, waited_sec: float = 0.0
    ) -> Iterator[EngineSlot]:
        """A slot for one request. Raises as `check` does.

        With `is_coming` the request will ask for its slot soon and counts as waiting: when a crowd
        arrives at once, those that are too many are rejected before any work is done for them.
        `waited_sec` is how long it has waited already, for its model to load.
        """
        self.check(caller, lane, waited_sec=waited_sec)
        state = SlotState.COMING if is_coming else SlotState.RESERVED
        slot = EngineSlot(caller, lane, state, self._enter, self._leave, waited_sec)
        self._slots[state][slot] = None
        try:
            yield slot
        finally:
            slot.give_back()
            self._move(slot, SlotState.CLOSED)

    def close(self) -> None:
        """Refuses all new requests from now on, those that wait included."""
        self._is_closed = True
        for waiter in self._queue.take_newcomers():
            self._dismiss(waiter.item, self._reject("shutting_down"))

    async def _enter(self, slot: EngineSlot) -> None:
        lane: Lane = "resumed" if slot.state is SlotState.PAUSED else slot.lane
        if slot.state is SlotState.COMING:
            self._move(slot, SlotState.RESERVED)
        self._call_next()
        requested_at = self._clock()
        if lane != "resumed" and self._is_closed:
            raise self._reject("shutting_down")
        if self._must_wait(lane):
            await self._wait(slot, lane)
        slot.held_since = self._clock()
        if lane != "resumed":
            slot.waited_sec += slot.held_since - requested_at
        self._move(slot, SlotState.RUNNING)

    def _leave(self, slot: EngineSlot) -> None:
        self._estimate.observe(slot.lane, self._clock() - slot.held_since)
        self._move(slot, SlotState.PAUSED)
        self._call_next()

    def _move(self, slot: EngineSlot, state: SlotState) -> None:
        """The one place that changes the state of a slot; closed is final."""
        if slot.state is SlotState.CLOSED:
            # A task of a request that has ended may still be waiting.
            return
        del self._slots[slot.state][slot]
        slot.state = state
        if state is not SlotState.CLOSED:
            self._slots[state][slot] = None

    async def _wait(self, slot: EngineSlot, lane: Lane) -> None:
        if lane != "resumed" and len(self._queue) >= MAX_WAITING:
            self._evict_for(slot)
        state_before = slot.state
        slot.decision = asyncio.get_running_loop().create_future()
        waiter = Waiter(slot.caller, lane, slot)
        self._queue.push(waiter)
        self._move(slot, SlotState.WAITING)
        left_sec = max(0.0, self._max_wait_sec - slot.waited_sec)
        try:
            async with asyncio.timeout(None if lane == "resumed" else left_sec):
                while slot.state is SlotState.WAITING:
                    await asyncio.wait({slot.decision}, timeout=LOOK_SEC)
                    self._call_next()
            # Still queued only if the slot was closed meanwhile.
            self._queue.remove(waiter)
        except (asyncio.CancelledError, TimeoutError) as error:
            # It may have been called or evicted at the same moment.
            was_called = slot.state is SlotState.CALLED
            self._queue.remove(waiter)
            self._move(slot, state_before)
            if was_called:
                self._call_next()
            if isinstance(error, asyncio.CancelledError):
                raise
            wait_sec = max(FIRST_HOLD_SEC, self._expected_wait_sec(slot.caller, lane))
            raise self._reject("waited_too_long", wait_sec) from None
        if slot.rejection is not None:
            raise slot.rejection

    def _evict_for(self, slot: EngineSlot) -> None:
        """Evicts the newest request of the caller with the most queued requests."""
        waiter = self._queue.newest_of_largest()
        num_own = self._queue.num_of(slot.caller)
        if waiter is None or self._queue.num_of(waiter.caller) <= num_own + 1:
            raise self._reject("overloaded", self._expected_wait_sec(slot.caller, slot.lane))
        self._queue.remove(waiter)
        wait_sec = self._expected_wait_sec(waiter.caller, waiter.lane)
        self._dismiss(waiter.item, self._reject("overloaded", wait_sec))

    def _dismiss(self, slot: EngineSlot, rejection: OrpheusError) -> None:
        self._move(slot, SlotState.RESERVED)
        slot.rejection = rejection
        slot.decision.set_result(None)

    def _rejection(
        self, caller: str, lane: Lane, *, waited_sec: float = 0.0
    ) -> tuple[RejectionReason, float] | None:
        """Why a new request would be rejected, and in how many seconds it may try again."""
        if self._is_closed:
            return "shutting_down", 0.0
        if self._max_per_caller is not None and self._num_open(caller) >= self._max_per_caller:
            return "rate_limited", 0.0
        too_long_sec = waited_sec + self._expected_wait_sec(caller, lane) - self._max_wait_sec
        is_full = self.num_running + len(self._slots[SlotState.COMING]) >= self._num_streams()
        if (is_full or self._must_wait(lane)) and too_long_sec > 0:
            return "overloaded", too_long_sec
        return None

    def _num_open(self, caller: str) -> int:
        return sum(slot.caller == caller for slots in self._slots.values() for slot in slots)

    def _must_wait(self, lane: Lane) -> bool:
        if lane == "bulk":
            return self.num_waiting > 0 or not self._has_bulk_capacity()
        # Queued files do not hold up a stream.
        is_passed = lane == "interactive" and self._queue.num_in("interactive") > 0
        is_full = self.num_running >= self._num_streams()
        return is_full or is_passed or self._queue.num_in("resumed") > 0

    def _has_bulk_capacity(self) -> bool:
        num_streams = self._num_streams()
        num_bulk = sum(slot.lane == "bulk" for slot in self._in_use())
        return self.num_running < num_streams and num_bulk < max(1, int(BULK_SHARE * num_streams))

    def _in_use(self) -> list[EngineSlot]:
        return [*self._slots[SlotState.CALLED], *self._slots[SlotState.RUNNING]]

    def _call_next(self) -> None:
        while self.num_waiting and self.num_running < self._num_streams():
            in_use = Counter(slot.caller for slot in self._in_use())
            waiter = self._queue.pop(in_use, is_bulk_allowed=self._has_bulk_capacity())
            if waiter is None:
                return
            self._move(waiter.item, SlotState.CALLED)
            waiter.item.decision.set_result(None)

    def _expected_wait_sec(self, caller: str, lane: Lane) -> float:
        # Coming requests may wait long for their language model, so callers share here as well.
        coming = Counter(slot.caller for slot in self._slots[SlotState.COMING])
        num_before = self._queue.num_before(caller, lane) + num_ahead(caller, coming)
        now = self._clock()
        held = [(slot.lane, now - slot.held_since) for slot in self._slots[SlotState.RUNNING]]
        return self._estimate.wait_sec(num_before, held, self._num_streams())

    def _reject(self, reason: RejectionReason, wait_sec: float = 0.0) -> OrpheusError:
        self.rejections[reason] += 1
        if reason == "shutting_down":
            return ShuttingDown("The server is stopping; another one may take the request.")
        if reason == "rate_limited":
            return RateLimited(
                f"This key has {self._max_per_caller} open requests, which is its limit."
            )
        seconds = retry_after_sec(wait_sec)
        message = f"The server is at full capacity; try again in {seconds} s."
        return Overloaded(message, retry_after_sec=seconds)

"""Whoever comes, goes and hangs up in whatever order: nobody is forgotten and no place is lost."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import strategies as st

from orpheus_server.errors import EngineUnavailable, RateLimited
from orpheus_server.synthesis import admission as admission_module
from orpheus_server.synthesis.admission import BULK_SHARE, Admission
from orpheus_server.synthesis.engine_slot import EngineSlot
from orpheus_server.synthesis.fair_queue import BULK_EVERY, LANES, FairQueue, Lane, Waiter
from tests.fuzz.examples import Effort, efforts
from tests.support.app import settle, wait_for

Verb = Literal["come", "go", "release", "hang_up", "capacity", "clock", "check", "settle", "close"]


@dataclass(frozen=True)
class Step:
    """What happens; `number` picks somebody or says how much."""

    verb: Verb
    number: int
    caller: str
    lane: Lane


STEPS = st.lists(
    st.builds(
        Step,
        verb=st.sampled_from(
            [*["come"] * 6, *["go"] * 3, "release", "hang_up", *["settle"] * 3]
            + ["capacity", "clock", "check"]
        ),
        number=st.integers(0, 30),
        caller=st.sampled_from("abc"),
        lane=st.sampled_from(LANES[1:]),
    ),
    max_size=60,
)


async def settle_all() -> None:
    """Until nobody's end calls another one any more: a chain of them takes a turn of the loop each.

    One `settle` was too short for it in one of some thousand plays.
    """
    for _ in range(10):
        await settle()


@dataclass
class Guest:
    """One request and where it is."""

    caller: str
    lane: Lane
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    ticket: EngineSlot | None = None
    has_released: bool = False
    end: str | None = None

    def leave_unserved(self) -> None:
        self.end = "gone"

    @property
    def is_running(self) -> bool:
        return self.ticket is not None and not self.has_released and self.end is None


class House:
    """Guests of one admission, and what must be true of them at any moment."""

    def __init__(self, *, max_wait_sec: float, max_per_caller: int | None) -> None:
        self.num_streams = 2
        self.has_shrunk = False
        self.is_closed = False
        self.now = 0.0
        self.max_per_caller = max_per_caller
        self.admission = Admission(
            lambda: self.num_streams,
            max_wait_sec=max_wait_sec,
            max_per_caller=max_per_caller,
            clock=lambda: self.now,
        )
        self.guests: list[Guest] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.num_checked_away = 0

    async def be(self, guest: Guest) -> None:
        try:
            with self.admission.reserve(guest.caller, guest.lane) as slot:
                slot.add_chunk()
                await slot.wait()
                guest.ticket = slot
                await guest.leave.wait()
            guest.end = "served"
        except (EngineUnavailable, RateLimited):
            guest.end = "refused"

    def come(self, caller: str, lane: Lane) -> None:
        guest = Guest(caller, lane)
        self.guests.append(guest)
        task = asyncio.create_task(self.be(guest))
        # One who hangs up before its turn on the loop has run no line of it.
        task.add_done_callback(lambda task: guest.leave_unserved() if task.cancelled() else None)
        self.tasks.append(task)

    async def take(self, step: Step) -> None:
        held = [index for index, guest in enumerate(self.guests) if guest.end is None]
        picked = held[step.number % len(held)] if held else None
        match step.verb:
            case "come":
                self.come(step.caller, step.lane)
            case "go" if picked is not None:
                self.guests[picked].leave.set()
            case "release" if picked is not None:
                guest = self.guests[picked]
                if guest.ticket is not None and guest.end is None:
                    guest.has_released = True
                    guest.ticket.give_back()
            case "hang_up" if picked is not None:
                self.tasks[picked].cancel()
            case "capacity":
                new = 1 + step.number % 6
                self.has_shrunk = self.has_shrunk or new < self.num_streams
                self.num_streams = new
            case "clock":
                self.now += step.number
            case "check":
                try:
                    self.admission.check(step.caller, step.lane)
                except (EngineUnavailable, RateLimited):
                    self.num_checked_away += 1
            case "settle":
                await settle_all()
                self.check()
            case "close":
                self.is_closed = True
                self.admission.close()

    def check(self) -> None:
        admission = self.admission
        running = [guest for guest in self.guests if guest.is_running]
        delivering = [guest for guest in self.guests if guest.has_released and guest.end is None]
        waiting = [guest for guest in self.guests if guest.ticket is None and guest.end is None]
        assert admission.num_running == len(running)
        assert admission.num_delivering == len(delivering)
        assert admission.num_waiting == len(waiting)
        assert len(waiting) <= admission_module.MAX_WAITING
        if not self.has_shrunk:
            num_bulk = sum(guest.lane == "bulk" for guest in running)
            assert len(running) <= self.num_streams
            assert num_bulk <= max(1, int(BULK_SHARE * self.num_streams))
        if self.max_per_caller is not None:
            counts = Counter(guest.caller for guest in (*running, *waiting))
            assert max(counts.values(), default=0) <= self.max_per_caller
        refused = sum(guest.end == "refused" for guest in self.guests)
        num_gone = sum(guest.end == "gone" for guest in self.guests)
        # Who hangs up in the moment of its refusal is both.
        num_reported = admission.rejections.total() - self.num_checked_away
        assert refused <= num_reported <= refused + num_gone

    async def empty(self) -> None:
        """Everybody is served or told, without anybody hanging up."""
        self.num_streams = max(self.num_streams, 4)
        self.come("last", "interactive")
        for guest in self.guests:
            guest.leave.set()
        await wait_for(lambda: all(guest.end is not None for guest in self.guests))
        self.check()
        assert {guest.end for guest in self.guests} <= {"served", "refused", "gone"}
        assert self.admission.num_running == self.admission.num_waiting == 0
        assert self.admission.num_delivering == 0


@pytest.mark.parametrize("max_per_caller", [None, 3])
@efforts(quick=100, slow=2500)
def test_nobody_is_forgotten(
    max_per_caller: int | None, effort: Effort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However short the line is, and however little patience there is."""
    monkeypatch.setattr(admission_module, "MAX_WAITING", 5)

    async def play(steps: list[Step], max_wait_sec: float, closes: bool) -> None:
        house = House(max_wait_sec=max_wait_sec, max_per_caller=max_per_caller)
        for step in steps:
            await house.take(step)
        if closes:
            await house.take(Step("close", 0, "a", "bulk"))
        await settle_all()
        house.check()
        await house.empty()
        if closes:
            assert house.guests[-1].end == "refused"
        await asyncio.gather(*house.tasks, return_exceptions=True)

    def check(steps: list[Step], max_wait_sec: float, closes: bool) -> None:
        asyncio.run(play(steps, max_wait_sec, closes))

    effort.run(
        check,
        steps=STEPS,
        max_wait_sec=st.sampled_from([0.0, 30.0, 1e6]),
        closes=st.booleans(),
    )


@efforts(quick=150, slow=3000)
def test_the_queue_keeps_everybody_once(effort: Effort) -> None:
    """Against a plain list: who comes out next, and how many are there."""

    def check(steps: list[Step], in_hand: dict[str, int]) -> None:
        queue: FairQueue[int] = FairQueue()
        line: list[Waiter[int]] = []
        num_calls = 0
        for index, step in enumerate(steps):
            if step.verb in ("come", "settle"):
                waiter = Waiter(step.caller, step.lane, index)
                queue.push(waiter)
                line.append(waiter)
            elif step.verb == "hang_up" and line:
                waiter = line.pop(step.number % len(line))
                queue.remove(waiter)
                queue.remove(waiter)
            elif step.verb in ("go", "release"):
                is_bulk_allowed = step.number % 2 == 0
                allowed = [each for each in line if is_bulk_allowed or each.lane != "bulk"]
                num_calls += 1
                order: tuple[Lane, ...] = LANES
                if num_calls % BULK_EVERY == 0:
                    order = ("resumed", "bulk", "interactive")
                first = min(
                    allowed,
                    key=lambda each: (order.index(each.lane), in_hand.get(each.caller, 0)),
                    default=None,
                )
                assert queue.pop(in_hand, is_bulk_allowed=is_bulk_allowed) is first
                if first is not None:
                    line.remove(first)
            assert len(queue) == len(line)
            for lane in LANES:
                assert queue.num_in(lane) == sum(each.lane == lane for each in line)
                num_before = queue.num_before(step.caller, lane)
                assert 0 <= num_before <= len(line)
            assert queue.num_of(step.caller) == sum(each.caller == step.caller for each in line)
        assert sorted(each.item for each in queue.take_newcomers()) == [
            each.item for each in line if each.lane != "resumed"
        ]
        assert len(queue) == queue.num_in("resumed")

    effort.run(
        check, steps=STEPS, in_hand=st.dictionaries(st.sampled_from("abc"), st.integers(0, 3))
    )

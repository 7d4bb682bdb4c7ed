"""Admission with any order of arrivals, ends and disconnects: no request or slot is lost."""

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

Verb = Literal[
    "arrive", "finish", "release", "cancel", "capacity", "clock", "check", "settle", "close"
]


@dataclass(frozen=True)
class Step:
    """One action; `number` picks a client or is the amount."""

    verb: Verb
    number: int
    caller: str
    lane: Lane


STEPS = st.lists(
    st.builds(
        Step,
        verb=st.sampled_from(
            [*["arrive"] * 6, *["finish"] * 3, "release", "cancel", *["settle"] * 3]
            + ["capacity", "clock", "check"]
        ),
        number=st.integers(0, 30),
        caller=st.sampled_from("abc"),
        lane=st.sampled_from(LANES[1:]),
    ),
    max_size=60,
)


async def settle_all() -> None:
    """Settles until no finished request starts another one; each takes one iteration of the loop.

    A single `settle` was too short in one of about a thousand runs.
    """
    for _ in range(10):
        await settle()


@dataclass
class Client:
    """A request and its state."""

    caller: str
    lane: Lane
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    slot: EngineSlot | None = None
    has_released: bool = False
    end: str | None = None

    def note_cancelled(self) -> None:
        self.end = "cancelled"

    @property
    def is_running(self) -> bool:
        return self.slot is not None and not self.has_released and self.end is None


class Harness:
    """Clients of one admission and its invariants."""

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
        self.clients: list[Client] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.num_rejected_checks = 0

    async def run(self, client: Client) -> None:
        try:
            with self.admission.reserve(client.caller, client.lane) as slot:
                slot.add_chunk()
                await slot.wait()
                client.slot = slot
                await client.finish.wait()
            client.end = "served"
        except (EngineUnavailable, RateLimited):
            client.end = "rejected"

    def arrive(self, caller: str, lane: Lane) -> None:
        client = Client(caller, lane)
        self.clients.append(client)
        task = asyncio.create_task(self.run(client))
        # A task that is cancelled before it first runs does not execute any of its code.
        task.add_done_callback(lambda task: client.note_cancelled() if task.cancelled() else None)
        self.tasks.append(task)

    async def apply(self, step: Step) -> None:
        active = [index for index, client in enumerate(self.clients) if client.end is None]
        picked = active[step.number % len(active)] if active else None
        match step.verb:
            case "arrive":
                self.arrive(step.caller, step.lane)
            case "finish" if picked is not None:
                self.clients[picked].finish.set()
            case "release" if picked is not None:
                client = self.clients[picked]
                if client.slot is not None and client.end is None:
                    client.has_released = True
                    client.slot.give_back()
            case "cancel" if picked is not None:
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
                    self.num_rejected_checks += 1
            case "settle":
                await settle_all()
                self.check()
            case "close":
                self.is_closed = True
                self.admission.close()

    def check(self) -> None:
        admission = self.admission
        running = [client for client in self.clients if client.is_running]
        delivering = [each for each in self.clients if each.has_released and each.end is None]
        waiting = [client for client in self.clients if client.slot is None and client.end is None]
        assert admission.num_running == len(running)
        assert admission.num_delivering == len(delivering)
        assert admission.num_waiting == len(waiting) == len(admission._queue)
        assert len(waiting) <= admission_module.MAX_WAITING
        if not self.has_shrunk:
            num_bulk = sum(client.lane == "bulk" for client in running)
            assert len(running) <= self.num_streams
            assert num_bulk <= max(1, int(BULK_SHARE * self.num_streams))
        if self.max_per_caller is not None:
            counts = Counter(client.caller for client in (*running, *waiting))
            assert max(counts.values(), default=0) <= self.max_per_caller
        num_rejected = sum(client.end == "rejected" for client in self.clients)
        num_cancelled = sum(client.end == "cancelled" for client in self.clients)
        # A client that is cancelled while it is rejected counts as both.
        num_reported = admission.rejections.total() - self.num_rejected_checks
        assert num_rejected <= num_reported <= num_rejected + num_cancelled

    async def drain(self) -> None:
        """Asserts that all remaining requests end without cancellation."""
        self.num_streams = max(self.num_streams, 4)
        self.arrive("last", "interactive")
        for client in self.clients:
            client.finish.set()
        await wait_for(lambda: all(client.end is not None for client in self.clients))
        self.check()
        assert {client.end for client in self.clients} <= {"served", "rejected", "cancelled"}
        assert self.admission.num_running == self.admission.num_waiting == 0
        assert self.admission.num_delivering == 0


@pytest.mark.parametrize("max_per_caller", [None, 3])
@efforts(quick=100, slow=2500)
def test_every_request_ends(
    max_per_caller: int | None, effort: Effort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a short queue and any time limit for waiting."""
    monkeypatch.setattr(admission_module, "MAX_WAITING", 5)

    async def run_steps(steps: list[Step], max_wait_sec: float, closes: bool) -> None:
        harness = Harness(max_wait_sec=max_wait_sec, max_per_caller=max_per_caller)
        for step in steps:
            await harness.apply(step)
        if closes:
            await harness.apply(Step("close", 0, "a", "bulk"))
        await settle_all()
        harness.check()
        await harness.drain()
        if closes:
            assert harness.clients[-1].end == "rejected"
        await asyncio.gather(*harness.tasks, return_exceptions=True)

    def check(steps: list[Step], max_wait_sec: float, closes: bool) -> None:
        asyncio.run(run_steps(steps, max_wait_sec, closes))

    effort.run(
        check,
        steps=STEPS,
        max_wait_sec=st.sampled_from([0.0, 30.0, 1e6]),
        closes=st.booleans(),
    )


@efforts(quick=150, slow=3000)
def test_the_queue_matches_a_plain_list(effort: Effort) -> None:
    """Compares the next item and the counts."""

    def check(steps: list[Step], in_hand: dict[str, int]) -> None:
        queue: FairQueue[int] = FairQueue()
        waiting: list[Waiter[int]] = []
        num_calls = 0
        for index, step in enumerate(steps):
            if step.verb in ("arrive", "settle"):
                waiter = Waiter(step.caller, step.lane, index)
                queue.push(waiter)
                waiting.append(waiter)
            elif step.verb == "cancel" and waiting:
                waiter = waiting.pop(step.number % len(waiting))
                queue.remove(waiter)
                queue.remove(waiter)
            elif step.verb in ("finish", "release"):
                is_bulk_allowed = step.number % 2 == 0
                allowed = [each for each in waiting if is_bulk_allowed or each.lane != "bulk"]
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
                    waiting.remove(first)
            assert len(queue) == len(waiting)
            for lane in LANES:
                assert queue.num_in(lane) == sum(each.lane == lane for each in waiting)
                num_before = queue.num_before(step.caller, lane)
                assert 0 <= num_before <= len(waiting)
            assert queue.num_of(step.caller) == sum(each.caller == step.caller for each in waiting)
        assert sorted(each.item for each in queue.take_newcomers()) == [
            each.item for each in waiting if each.lane != "resumed"
        ]
        assert len(queue) == queue.num_in("resumed")

    effort.run(
        check, steps=STEPS, in_hand=st.dictionaries(st.sampled_from("abc"), st.integers(0, 3))
    )

"""Merged streams, joined tasks, time limits and the worker pool."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from orpheus_server.concurrency import (
    WorkerPool,
    cancel_all,
    merged,
    num_cores,
    pieces_within,
    run_together,
    within,
)
from orpheus_server.errors import RequestTimedOut
from tests.support.app import other_tasks, settle
from tests.support.jobs import Jobs

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("cpu_limit", "num_expected"),
    [
        ("max 100000", 6),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 6),
        ("", 6),
        (None, 6),
    ],
)
def test_the_cores_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpu_limit: str | None, num_expected: int
) -> None:
    """`docker run --cpus 2` on a machine of 64 cores started 64 threads for two cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    file = tmp_path / "cpu.max"
    if cpu_limit is not None:
        file.write_text(cpu_limit + "\n")
    assert num_cores(file) == num_expected


def test_the_cores_where_the_system_does_not_say_which_may_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """macOS and Windows have no `sched_getaffinity`."""
    monkeypatch.delattr(os, "sched_getaffinity")
    for num, expected in ((10, 10), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda found=num: found)
        assert num_cores(tmp_path / "missing") == expected


class Source:
    """Yields each number once its gate is open; then ends, or raises `error`."""

    def __init__(self, *items: int, error: Exception | None = None) -> None:
        self.gates = [asyncio.Event() for _ in range(len(items) + 1)]
        self.num_made = 0
        self.is_closed = False
        self._items = items
        self._error = error

    def open_all(self) -> "Source":
        for gate in self.gates:
            gate.set()
        return self

    async def run(self) -> AsyncGenerator[int, None]:
        try:
            for item, gate in zip(self._items, self.gates, strict=False):
                await gate.wait()
                self.num_made += 1
                yield item
            await self.gates[-1].wait()
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


async def test_items_are_yielded_as_soon_as_they_arrive() -> None:
    """Alternating between the sources would hold the second sentence until the first's audio."""
    before = other_tasks()
    first, second = Source(1, 2), Source(11, 12)
    async with aclosing(merged(first.run(), second.run())) as items:
        second.gates[0].set()
        assert await anext(items) == 11
        second.gates[1].set()
        assert await anext(items) == 12
        first.open_all()
        assert [await anext(items), await anext(items)] == [1, 2]
        second.open_all()
        with pytest.raises(StopAsyncIteration):
            await anext(items)
    assert other_tasks() == before


async def test_a_slow_consumer_pauses_all_sources() -> None:
    before = other_tasks()
    sources = [Source(*range(100)).open_all() for _ in range(2)]
    async with aclosing(merged(*(source.run() for source in sources))) as items:
        await anext(items)
        await settle()
        assert max(source.num_made for source in sources) <= 3
        await anext(items)
        await settle()
        assert sum(source.num_made for source in sources) <= 6
    assert all(source.is_closed for source in sources)
    assert other_tasks() == before


async def test_a_failure_is_raised_after_the_items_before_it() -> None:
    before = other_tasks()
    failing, waiting = Source(1, 2, error=ValueError("broken")).open_all(), Source(11)
    items = merged(failing.run(), waiting.run())
    assert [await anext(items), await anext(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        await anext(items)
    assert waiting.is_closed
    assert other_tasks() == before


async def test_a_waiting_consumer_can_be_cancelled() -> None:
    before = other_tasks()
    sources = [Source(1), Source(2)]
    items = merged(*(source.run() for source in sources))
    taking = asyncio.ensure_future(anext(items))
    await settle()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert all(source.is_closed for source in sources)
    assert other_tasks() == before


async def test_merging_empty_sources() -> None:
    assert [
        item async for item in merged(Source().open_all().run(), Source().open_all().run())
    ] == []


async def fail(message: str) -> int:
    raise ValueError(message)


async def test_results_keep_the_order_of_the_coroutines() -> None:
    jobs = Jobs(3)
    running = asyncio.create_task(run_together(*(jobs.run(number) for number in range(3))))
    await settle()
    for number in (2, 0, 1):
        jobs.gates[number].set()
        await settle()
    assert await running == [0, 1, 2]
    assert jobs.ended == [2, 0, 1]


async def test_running_no_coroutines() -> None:
    assert await run_together() == []


async def test_the_first_failure_cancels_the_rest() -> None:
    jobs = Jobs(2)
    before = other_tasks()
    with pytest.raises(ValueError, match="broken"):
        await run_together(jobs.run(0), fail("broken"), jobs.run(1))
    assert jobs.cancelled == [0, 1]
    assert other_tasks() == before


async def test_cancelling_run_together_cancels_all() -> None:
    jobs = Jobs(2)
    running = asyncio.create_task(run_together(jobs.run(0), jobs.run(1)))
    await settle()
    await cancel_all([running])
    assert running.cancelled()
    assert jobs.cancelled == [0, 1]


async def test_cancel_all_waits_for_the_tasks_to_end() -> None:
    steps: list[str] = []

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await settle()
            steps.append("ended")

    task = asyncio.create_task(slow_to_end())
    await settle()
    await cancel_all([task])
    assert steps == ["ended"]
    await cancel_all([task])
    await cancel_all([])


SHORT_SEC = 0.01
LONG_SEC = 1000.0


async def answer() -> int:
    return 7


async def hang(ended: list[str]) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("hang")
    return 0


async def raise_own() -> int:
    raise TimeoutError("another one")


async def count(
    num: int, ended: list[str], *, then_hang: bool = False
) -> AsyncGenerator[int, None]:
    try:
        for index in range(num):
            yield index
        if then_hang:
            await asyncio.Event().wait()
    finally:
        ended.append("count")


async def take(pieces: AsyncGenerator[int, None], taken: list[int]) -> None:
    async for piece in pieces:
        taken.append(piece)


class TestWithin:
    async def test_in_time(self) -> None:
        assert await within(LONG_SEC, answer()) == 7

    async def test_too_long(self) -> None:
        ended: list[str] = []
        with pytest.raises(RequestTimedOut, match=r"longer than 0\.01 s"):
            await within(SHORT_SEC, hang(ended))
        assert ended == ["hang"]

    async def test_other_timeout_errors_are_not_translated(self) -> None:
        with pytest.raises(TimeoutError, match="another one"):
            await within(LONG_SEC, raise_own())


class TestPieces:
    async def test_all_pieces_in_time(self) -> None:
        ended: list[str] = []
        assert [piece async for piece in pieces_within(LONG_SEC, count(3, ended))] == [0, 1, 2]
        assert ended == ["count"]

    async def test_pieces_before_the_timeout_are_yielded(self) -> None:
        ended: list[str] = []
        taken: list[int] = []
        with pytest.raises(RequestTimedOut):
            await take(pieces_within(SHORT_SEC, count(3, ended, then_hang=True)), taken)
        assert (taken, ended) == ([0, 1, 2], ["count"])

    async def test_time_of_the_consumer_is_not_counted(self) -> None:
        """A client that played half an hour of speech was cut off after ten minutes."""
        now = 0.0
        ended: list[str] = []
        pieces = pieces_within(1.0, count(5, ended), clock=lambda: now)
        async for _ in pieces:
            now += 100.0
        assert ended == ["count"]

    async def test_time_of_the_producer_adds_up(self) -> None:
        now = 0.0

        async def slow() -> AsyncGenerator[int, None]:
            nonlocal now
            for index in range(9):
                now += 0.4
                await asyncio.sleep(0)
                yield index

        taken: list[int] = []
        with pytest.raises(RequestTimedOut):
            await take(pieces_within(1.0, slow(), clock=lambda: now), taken)
        assert taken == [0, 1, 2]

    async def test_time_is_counted_only_while_counts_is_true(self) -> None:
        ended: list[str] = []
        pieces = pieces_within(0.0, count(3, ended), counts=lambda: False)
        assert [piece async for piece in pieces] == [0, 1, 2]

    async def test_closing_closes_the_source(self) -> None:
        ended: list[str] = []
        pieces = pieces_within(LONG_SEC, count(3, ended))
        assert await anext(pieces) == 0
        await pieces.aclose()
        assert ended == ["count"]


WAIT_SEC = 10.0


async def test_run_in_a_worker_thread() -> None:
    def work(number: int, *, factor: int) -> tuple[int, str]:
        return number * factor, threading.current_thread().name

    pool = WorkerPool(1)
    result, thread_name = await pool.run(work, 6, factor=7)
    assert result == 42
    assert thread_name.startswith("orpheus-worker")
    await pool.close()


async def test_an_error_is_raised_to_the_caller() -> None:
    pool = WorkerPool(1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)
    assert await pool.run(lambda: 1) == 1
    await pool.close()


async def test_at_most_max_workers_run_at_a_time() -> None:
    lock = threading.Lock()
    both_run = threading.Barrier(2)
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both_run.wait(WAIT_SEC)
        with lock:
            running -= 1

    pool = WorkerPool(2)
    await asyncio.gather(*(pool.run(work) for _ in range(8)))
    assert most == 2
    await pool.close()


async def test_the_initializer_runs_in_every_thread() -> None:
    seen = threading.local()

    def prepare() -> None:
        seen.is_ready = True

    pool = WorkerPool(2, initializer=prepare)
    assert await pool.run(lambda: getattr(seen, "is_ready", False))
    await pool.close()


async def test_a_call_finishes_although_its_caller_is_cancelled() -> None:
    has_begun, may_end, has_ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        has_begun.set()
        may_end.wait(WAIT_SEC)
        has_ended.set()

    pool = WorkerPool(1)
    caller = asyncio.create_task(pool.run(work))
    await asyncio.to_thread(has_begun.wait, WAIT_SEC)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not has_ended.is_set()
    may_end.set()
    await pool.close()
    assert has_ended.is_set()


async def test_close_cancels_calls_that_have_not_started() -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    called: list[str] = []

    def block() -> str:
        has_begun.set()
        may_end.wait(WAIT_SEC)
        return "done"

    pool = WorkerPool(1)
    running = asyncio.create_task(pool.run(block))
    await asyncio.to_thread(has_begun.wait, WAIT_SEC)
    waiting = asyncio.create_task(pool.run(called.append, "late"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.close())
    await asyncio.wait([waiting])
    may_end.set()
    await closing
    assert await running == "done"
    assert waiting.cancelled()
    assert called == []

"""The pool: off the loop, bounded, and closed without losing what runs."""

import asyncio
import threading

import pytest

from orpheus_server.workers import WorkerPool

pytestmark = pytest.mark.anyio

WAIT_SEC = 10.0


async def test_result_arguments_and_thread() -> None:
    def work(number: int, *, factor: int) -> tuple[int, str]:
        return number * factor, threading.current_thread().name

    pool = WorkerPool(1)
    result, thread_name = await pool.run(work, 6, factor=7)
    assert result == 42
    assert thread_name.startswith("orpheus-worker")
    await pool.close()


async def test_a_failure_is_the_caller_s() -> None:
    pool = WorkerPool(1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)
    assert await pool.run(lambda: 1) == 1
    await pool.close()


async def test_no_more_than_max_workers_at_a_time() -> None:
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


async def test_initializer_runs_in_every_thread() -> None:
    seen = threading.local()

    def prepare() -> None:
        seen.is_ready = True

    pool = WorkerPool(2, initializer=prepare)
    assert await pool.run(lambda: getattr(seen, "is_ready", False))
    await pool.close()


async def test_a_cancelled_caller_leaves_and_the_call_ends() -> None:
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


async def test_close_drops_what_has_not_started() -> None:
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

"""The order in which windows are decoded, and their batches."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf, nan

import numpy as np
import pytest

from orpheus_server.audio.snac.batcher import Batcher
from orpheus_server.audio.snac.windows import Window
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import EngineNotReady, GenerationFailed
from orpheus_server.interfaces import PostProcess, Samples, as_decoded

pytestmark = pytest.mark.anyio

LIMIT_SEC = 10.0
"""Reached only by a test that fails."""


class RecordingBackend:
    """Returns each window's number as its samples; calls can be held or made to fail."""

    def __init__(self) -> None:
        self.max_windows = {1: 3, 2: 2, 4: 1}
        self.calls: list[list[int]] = []
        self.events: list[str] = []
        self.failures: dict[int, Exception] = {}
        self.is_held = False
        self._entered = threading.Semaphore(0)
        self._released = threading.Semaphore(0)
        self._only_one = threading.Lock()

    def decode(self, windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        assert self._only_one.acquire(blocking=False), "two concurrent calls"
        try:
            assert len({window.hop for window in windows}) == 1
            self.calls.append([window.start for window in windows])
            self.events.append("call")
            if self.is_held:
                self._entered.release()
                assert self._released.acquire(timeout=LIMIT_SEC)
            if error := self.failures.pop(len(self.calls), None):
                raise error
            return [
                np.full(2, window.start + seed, dtype=np.float32)
                for window, seed in zip(windows, seeds, strict=True)
            ]
        finally:
            self._only_one.release()

    async def entered(self) -> None:
        """Returns once a call is held."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=LIMIT_SEC)

    def release(self) -> None:
        """Lets the held call and all later calls continue."""
        self.is_held = False
        self._released.release()


class Bench:
    """A batcher, and windows numbered by the test."""

    def __init__(self, backend: RecordingBackend, pool: WorkerPool) -> None:
        self.backend = backend
        self.pool = pool
        self.batcher = Batcher(backend, pool)

    def submit(
        self,
        number: int,
        *,
        hop: int = 1,
        deadline: float | Callable[[], float] = inf,
        seed: int = 0,
        post_process: PostProcess = as_decoded,
    ) -> asyncio.Future[Samples]:
        window = Window(hop, np.zeros((1, 1), dtype=np.int64), 0, 1, 0, 2, number)

        def checked_deadline(start: int) -> float:
            assert start == number
            return deadline() if callable(deadline) else deadline

        return self.batcher.submit(
            window, seed=seed, deadline=checked_deadline, post_process=post_process
        )

    async def hold(self) -> asyncio.Future[Samples]:
        """Submits window 0, whose call stays in the backend until it is released."""
        self.backend.is_held = True
        first = self.submit(0)
        await self.backend.entered()
        return first


@asynccontextmanager
async def open_bench(num_workers: int) -> AsyncIterator[Bench]:
    pool = WorkerPool(num_workers)
    async with asyncio.timeout(LIMIT_SEC):
        yield Bench(RecordingBackend(), pool)
    await pool.close()


@pytest.fixture(params=[1, 4])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with open_bench(request.param) as bench:
        yield bench


async def numbers(futures: Sequence[asyncio.Future[Samples]]) -> list[float]:
    return [float(samples[0]) for samples in await asyncio.gather(*futures)]


async def test_a_window_alone_does_not_wait(bench: Bench) -> None:
    assert (await bench.submit(7, seed=100)).tolist() == [107, 107]
    assert bench.backend.calls == [[7]]


async def test_waiting_windows_are_batched_up_to_the_backends_maximum(bench: Bench) -> None:
    first = await bench.hold()
    others = [bench.submit(number) for number in range(1, 6)]
    bench.backend.release()
    assert await numbers([first, *others]) == [0, 1, 2, 3, 4, 5]
    assert bench.backend.calls == [[0], [1, 2, 3], [4, 5]]


async def test_a_call_has_the_hop_of_the_most_urgent_window(bench: Bench) -> None:
    first = await bench.hold()
    others = [
        bench.submit(1, hop=2, deadline=9.0),
        bench.submit(2, hop=1, deadline=5.0),
        bench.submit(3, hop=4, deadline=6.0),
        bench.submit(4, hop=1, deadline=8.0),
        bench.submit(5, hop=2, deadline=7.0),
    ]
    bench.backend.release()
    assert await numbers([first, *others]) == [0, 1, 2, 3, 4, 5]
    assert bench.backend.calls == [[0], [2, 4], [3], [5, 1]]


async def test_order_is_by_deadline_and_then_by_arrival(bench: Bench) -> None:
    bench.backend.max_windows = {1: 1}
    first = await bench.hold()
    deadlines = [inf, 5.0, -inf, 1.0, inf, 5.0, -inf]
    others = [bench.submit(index, deadline=each) for index, each in enumerate(deadlines, start=1)]
    bench.backend.release()
    await numbers([first, *others])
    assert bench.backend.calls == [[0], [3], [7], [4], [2], [6], [1], [5]]


async def test_deadlines_are_read_in_a_worker_when_a_batch_is_chosen(bench: Bench) -> None:
    """A deadline changes if the player has stopped meanwhile, or the stream has run dry."""
    bench.backend.max_windows = {1: 1}
    now = {1: 1.0, 2: 2.0}
    threads = []

    def deadline(number: int) -> float:
        threads.append(threading.current_thread().name)
        return now[number]

    first = await bench.hold()
    others = [bench.submit(number, deadline=partial(deadline, number)) for number in (1, 2)]
    assert threads == []
    now[1] = 3.0
    bench.backend.release()
    await numbers([first, *others])
    assert bench.backend.calls == [[0], [2], [1]]
    assert all(name.startswith("orpheus-worker") for name in threads)


async def test_cancelled_windows_are_not_decoded(bench: Bench) -> None:
    first = await bench.hold()
    others = [bench.submit(number) for number in range(1, 6)]
    for future in (others[0], others[3]):
        future.cancel()
    bench.backend.release()
    assert await numbers([first, others[1], others[2], others[4]]) == [0, 2, 3, 5]
    assert bench.backend.calls == [[0], [2, 3, 5]]


async def test_cancelled_windows_alone_cause_no_call(bench: Bench) -> None:
    first = await bench.hold()
    for number in (1, 2):
        bench.submit(number).cancel()
    bench.backend.release()
    await first
    assert await numbers([bench.submit(3)]) == [3]
    assert bench.backend.calls == [[0], [3]]


async def test_a_window_cancelled_during_its_call_does_not_disturb_the_others(bench: Bench) -> None:
    first = await bench.hold()
    others = [bench.submit(number) for number in (1, 2)]
    first.cancel()
    bench.backend.release()
    assert await numbers(others) == [1, 2]


async def test_an_exception_fails_only_the_window_that_caused_it(bench: Bench) -> None:
    """It failed all windows of the same call, and cut off streams of other requests."""
    cause = RuntimeError("out of memory")
    bench.backend.failures |= {2: RuntimeError("three at once"), 4: cause}
    first = await bench.hold()
    others = [bench.submit(number) for number in range(1, 6)]
    bench.backend.release()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert bench.backend.calls == [[0], [1, 2, 3], [1], [2], [3], [4, 5]]
    failed = results[2]
    assert isinstance(failed, GenerationFailed)
    assert str(failed) == "the codec failed: out of memory"
    assert failed.__cause__ is cause
    assert await numbers([first, others[0], *others[2:], bench.submit(6)]) == [0, 1, 3, 4, 5, 6]


async def test_samples_are_post_processed_in_the_worker(bench: Bench) -> None:
    names = []

    def double(samples: Samples) -> Samples:
        names.append(threading.current_thread().name)
        return samples * 2

    assert (await bench.submit(4, post_process=double)).tolist() == [8, 8]
    assert names[0].startswith("orpheus-worker")


async def test_a_failing_post_process_fails_only_its_window(bench: Bench) -> None:
    def fail(samples: Samples) -> Samples:
        raise ValueError("no such speed")

    first = await bench.hold()
    others = [bench.submit(1), bench.submit(2, post_process=fail), bench.submit(3)]
    bench.backend.release()
    assert await numbers([first, others[0], others[2]]) == [0, 1, 3]
    with pytest.raises(GenerationFailed, match="no such speed"):
        await others[1]


async def test_nan_in_one_window_does_not_affect_others(bench: Bench) -> None:
    first = await bench.hold()
    broken = [bench.submit(1), bench.submit(2, seed=0)]
    decode = bench.backend.decode

    def spoil(windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        results = decode(windows, seeds)
        results[0][:] = nan
        return results

    bench.backend.decode = spoil  # type: ignore[method-assign]
    bench.backend.release()
    await first
    one, two = await asyncio.gather(*broken)
    assert np.isnan(one).all()
    assert two.tolist() == [2, 2]


async def test_close_fails_waiting_and_new_windows(bench: Bench) -> None:
    first = await bench.hold()
    waiting, left = bench.submit(1), bench.submit(2)
    left.cancel()
    bench.batcher.close()
    with pytest.raises(EngineNotReady, match="closing"):
        await waiting
    with pytest.raises(EngineNotReady, match="closing"):
        bench.submit(3)
    # The running call cannot be stopped: it completes, and its window gets the result.
    bench.backend.release()
    assert (await first).tolist() == [0, 0]
    assert bench.backend.calls == [[0]]
    bench.batcher.close()


async def test_other_work_runs_between_calls_on_a_single_worker() -> None:
    """An encoder that waited for all windows of a busy server would never run."""
    async with open_bench(1) as bench:
        events = bench.backend.events
        first = await bench.hold()
        others = [bench.submit(number) for number in range(1, 6)]
        encoders = [
            asyncio.ensure_future(bench.pool.run(events.append, f"encode {index}"))
            for index in range(2)
        ]
        await asyncio.sleep(0)  # both have started, so they are in the pool's queue
        bench.backend.release()
        await asyncio.gather(first, *others, *encoders)
        assert events == ["call", "encode 0", "encode 1", "call", "call"]


async def test_five_hundred_concurrent_utterances_are_all_served(bench: Bench) -> None:
    """Each submits its next window after the previous one, so the queue runs empty repeatedly."""
    bench.backend.max_windows = {1: 16, 2: 8, 4: 4}

    async def utterance(index: int) -> list[float]:
        served = []
        for step in range(3):
            number = index * 10 + step
            future = bench.submit(number, hop=(1, 2, 4)[(index + step) % 3], deadline=-float(index))
            if number % 7 == 0:
                future.cancel()
            else:
                served += await numbers([future])
        return served

    served = await asyncio.gather(*(utterance(index) for index in range(500)))
    expected = [index * 10 + step for index in range(500) for step in range(3)]
    expected = [number for number in expected if number % 7]
    assert [number for each in served for number in each] == expected
    decoded = [number for call in bench.backend.calls for number in call]
    assert len(set(decoded)) == len(decoded)
    # A cancelled window may already have been in a batch.
    assert sorted(number for number in decoded if number % 7) == expected
    # One more window is served after the queue has run empty.
    assert await numbers([bench.submit(1)]) == [1]

"""Who is decoded when, and with whom."""

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
    """Each window's samples are its own number; calls can be held and failed."""

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
        assert self._only_one.acquire(blocking=False), "two calls at once"
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
        """Lets the held call go on, and those after it."""
        self.is_held = False
        self._released.release()


class Line:
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
        """A call of window 0 that stays in the backend until it is released."""
        self.backend.is_held = True
        first = self.submit(0)
        await self.backend.entered()
        return first


@asynccontextmanager
async def open_line(num_workers: int) -> AsyncIterator[Line]:
    pool = WorkerPool(num_workers)
    async with asyncio.timeout(LIMIT_SEC):
        yield Line(RecordingBackend(), pool)
    await pool.close()


@pytest.fixture(params=[1, 4])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async with open_line(request.param) as line:
        yield line


async def numbers(futures: Sequence[asyncio.Future[Samples]]) -> list[float]:
    return [float(samples[0]) for samples in await asyncio.gather(*futures)]


async def test_a_window_alone_does_not_wait(line: Line) -> None:
    assert (await line.submit(7, seed=100)).tolist() == [107, 107]
    assert line.backend.calls == [[7]]


async def test_what_waits_goes_together_up_to_the_backends_most(line: Line) -> None:
    first = await line.hold()
    others = [line.submit(number) for number in range(1, 6)]
    line.backend.release()
    assert await numbers([first, *others]) == [0, 1, 2, 3, 4, 5]
    assert line.backend.calls == [[0], [1, 2, 3], [4, 5]]


async def test_a_call_has_one_hop_that_of_the_most_urgent(line: Line) -> None:
    first = await line.hold()
    others = [
        line.submit(1, hop=2, deadline=9.0),
        line.submit(2, hop=1, deadline=5.0),
        line.submit(3, hop=4, deadline=6.0),
        line.submit(4, hop=1, deadline=8.0),
        line.submit(5, hop=2, deadline=7.0),
    ]
    line.backend.release()
    assert await numbers([first, *others]) == [0, 1, 2, 3, 4, 5]
    assert line.backend.calls == [[0], [2, 4], [3], [5, 1]]


async def test_silence_first_then_deadlines_then_nobody_in_order_of_arrival(line: Line) -> None:
    line.backend.max_windows = {1: 1}
    first = await line.hold()
    deadlines = [inf, 5.0, -inf, 1.0, inf, 5.0, -inf]
    others = [line.submit(index, deadline=each) for index, each in enumerate(deadlines, start=1)]
    line.backend.release()
    await numbers([first, *others])
    assert line.backend.calls == [[0], [3], [7], [4], [2], [6], [1], [5]]


async def test_deadlines_are_asked_when_a_batch_is_chosen_in_a_worker(line: Line) -> None:
    """A player that stopped meanwhile, or a stream that went silent, has another one then."""
    line.backend.max_windows = {1: 1}
    now = {1: 1.0, 2: 2.0}
    threads = []

    def ask(number: int) -> float:
        threads.append(threading.current_thread().name)
        return now[number]

    first = await line.hold()
    others = [line.submit(number, deadline=partial(ask, number)) for number in (1, 2)]
    assert threads == []
    now[1] = 3.0
    line.backend.release()
    await numbers([first, *others])
    assert line.backend.calls == [[0], [2], [1]]
    assert all(name.startswith("orpheus-worker") for name in threads)


async def test_cancelled_windows_are_not_decoded(line: Line) -> None:
    first = await line.hold()
    others = [line.submit(number) for number in range(1, 6)]
    for future in (others[0], others[3]):
        future.cancel()
    line.backend.release()
    assert await numbers([first, others[1], others[2], others[4]]) == [0, 2, 3, 5]
    assert line.backend.calls == [[0], [2, 3, 5]]


async def test_a_line_of_cancelled_windows_only_is_no_call(line: Line) -> None:
    first = await line.hold()
    for number in (1, 2):
        line.submit(number).cancel()
    line.backend.release()
    await first
    assert await numbers([line.submit(3)]) == [3]
    assert line.backend.calls == [[0], [3]]


async def test_a_window_cancelled_during_its_call_does_not_disturb_the_others(line: Line) -> None:
    first = await line.hold()
    others = [line.submit(number) for number in (1, 2)]
    first.cancel()
    line.backend.release()
    assert await numbers(others) == [1, 2]


async def test_an_exception_of_one_window_is_its_own(line: Line) -> None:
    """It failed all that were decoded in the same call, and cut off streams of other callers."""
    cause = RuntimeError("out of memory")
    line.backend.failures |= {2: RuntimeError("three at once"), 4: cause}
    first = await line.hold()
    others = [line.submit(number) for number in range(1, 6)]
    line.backend.release()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert line.backend.calls == [[0], [1, 2, 3], [1], [2], [3], [4, 5]]
    failed = results[2]
    assert isinstance(failed, GenerationFailed)
    assert str(failed) == "the codec failed: out of memory"
    assert failed.__cause__ is cause
    assert await numbers([first, others[0], *others[2:], line.submit(6)]) == [0, 1, 3, 4, 5, 6]


async def test_samples_are_finished_in_the_worker(line: Line) -> None:
    names = []

    def double(samples: Samples) -> Samples:
        names.append(threading.current_thread().name)
        return samples * 2

    assert (await line.submit(4, post_process=double)).tolist() == [8, 8]
    assert names[0].startswith("orpheus-worker")


async def test_what_fails_to_finish_fails_alone(line: Line) -> None:
    def fail(samples: Samples) -> Samples:
        raise ValueError("no such speed")

    first = await line.hold()
    others = [line.submit(1), line.submit(2, post_process=fail), line.submit(3)]
    line.backend.release()
    assert await numbers([first, others[0], others[2]]) == [0, 1, 3]
    with pytest.raises(GenerationFailed, match="no such speed"):
        await others[1]


async def test_nan_of_one_window_is_its_own(line: Line) -> None:
    first = await line.hold()
    broken = [line.submit(1), line.submit(2, seed=0)]
    decode = line.backend.decode

    def spoil(windows: Sequence[Window], seeds: Sequence[int]) -> list[Samples]:
        results = decode(windows, seeds)
        results[0][:] = nan
        return results

    line.backend.decode = spoil  # type: ignore[method-assign]
    line.backend.release()
    await first
    one, two = await asyncio.gather(*broken)
    assert np.isnan(one).all()
    assert two.tolist() == [2, 2]


async def test_close_fails_what_waits_and_what_comes(line: Line) -> None:
    first = await line.hold()
    waiting, left = line.submit(1), line.submit(2)
    left.cancel()
    line.batcher.close()
    with pytest.raises(EngineNotReady, match="closing"):
        await waiting
    with pytest.raises(EngineNotReady, match="closing"):
        line.submit(3)
    # The call that runs cannot be stopped: it ends, and whoever still waits has it.
    line.backend.release()
    assert (await first).tolist() == [0, 0]
    assert line.backend.calls == [[0]]
    line.batcher.close()


async def test_other_work_of_one_worker_gets_its_turn_between_calls() -> None:
    """An encoder that waited for all windows of a busy server would never run."""
    async with open_line(1) as line:
        events = line.backend.events
        first = await line.hold()
        others = [line.submit(number) for number in range(1, 6)]
        encoders = [
            asyncio.ensure_future(line.pool.run(events.append, f"encode {index}"))
            for index in range(2)
        ]
        await asyncio.sleep(0)  # both have begun, so they are in the pool's queue
        line.backend.release()
        await asyncio.gather(first, *others, *encoders)
        assert events == ["call", "encode 0", "encode 1", "call", "call"]


async def test_five_hundred_at_once_are_all_served(line: Line) -> None:
    """Each submits its next window when it has one: the line runs empty again and again."""
    line.backend.max_windows = {1: 16, 2: 8, 4: 4}

    async def utterance(index: int) -> list[float]:
        served = []
        for turn in range(3):
            number = index * 10 + turn
            future = line.submit(number, hop=(1, 2, 4)[(index + turn) % 3], deadline=-float(index))
            if number % 7 == 0:
                future.cancel()
            else:
                served += await numbers([future])
        return served

    served = await asyncio.gather(*(utterance(index) for index in range(500)))
    expected = [index * 10 + turn for index in range(500) for turn in range(3)]
    expected = [number for number in expected if number % 7]
    assert [number for each in served for number in each] == expected
    decoded = [number for call in line.backend.calls for number in call]
    assert len(set(decoded)) == len(decoded)
    # A cancelled window may have been taken just before.
    assert sorted(number for number in decoded if number % 7) == expected
    # And once more, when the line was empty.
    assert await numbers([line.submit(1)]) == [1]

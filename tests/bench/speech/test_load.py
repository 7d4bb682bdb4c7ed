"""Workers in a closed loop, in virtual time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from orpheus_server.bench.client.request_result import RequestResult
from orpheus_server.bench.speech.load import Load, default_num_requests, rotated, run_load
from tests.bench.results import spoken
from tests.support.app import wait_for


@dataclass
class Speaker:
    """Records the indexes of the requests and how many ran at the same time."""

    indexes: list[int] = field(default_factory=list)
    num_active: int = 0
    most_active: int = 0

    async def speak(self, index: int) -> RequestResult:
        self.indexes.append(index)
        self.num_active += 1
        self.most_active = max(self.most_active, self.num_active)
        await asyncio.sleep(0)
        self.num_active -= 1
        return spoken()


@pytest.mark.anyio
class TestRunLoad:
    async def test_the_number_of_requests(self) -> None:
        speaker = Speaker()
        results = await run_load(Load(3, num_requests=7), speaker.speak)
        assert len(results) == 7
        assert speaker.indexes == list(range(7))
        assert speaker.most_active == 3

    async def test_fewer_requests_than_workers(self) -> None:
        speaker = Speaker()
        assert len(await run_load(Load(8, num_requests=2), speaker.speak)) == 2

    async def test_a_worker_waits_only_for_its_own_answer(self) -> None:
        """A slow request must not hold back the other workers."""
        others_done = asyncio.Event()
        indexes: list[int] = []

        async def speak(index: int) -> RequestResult:
            indexes.append(index)
            if index == 0:
                await others_done.wait()
            elif index == 4:
                others_done.set()
            await asyncio.sleep(0)
            return spoken(started_sec=float(index))

        results = await run_load(Load(2, num_requests=5), speak)
        assert indexes == [0, 1, 2, 3, 4]
        assert [result.started_sec for result in results][:3] == [1.0, 2.0, 3.0]

    async def test_a_duration(self) -> None:
        """Requests that start in time are finished: the last two start at 2.0, before 2.5."""
        now_sec = 0.0
        both_requested = asyncio.Barrier(2)

        async def speak(index: int) -> RequestResult:
            nonlocal now_sec
            started_sec = now_sec
            # Two requests at a time take a second; the last to arrive advances the clock.
            if await both_requested.wait() == 1:
                now_sec += 1.0
            return spoken(started_sec=started_sec)

        results = await run_load(Load(2, duration_sec=2.5), speak, clock=lambda: now_sec)
        assert [result.started_sec for result in results] == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]

    async def test_staggered_starts(self) -> None:
        waits: list[float] = []

        async def sleep(wait_sec: float) -> None:
            waits.append(wait_sec)

        await run_load(Load(3, num_requests=3, stagger_sec=0.25), Speaker().speak, sleep=sleep)
        assert waits == [0.0, 0.25, 0.5]

    async def test_first_index(self) -> None:
        speaker = Speaker()
        await run_load(Load(2, num_requests=2, first_index=6), speaker.speak)
        assert speaker.indexes == [6, 7]

    async def test_a_burst_starts_all_requests_at_once(self) -> None:
        release = asyncio.Event()
        indexes: list[int] = []

        async def speak(index: int) -> RequestResult:
            indexes.append(index)
            await release.wait()
            return spoken()

        task = asyncio.create_task(run_load(Load(5, num_requests=5), speak))
        await wait_for(lambda: len(indexes) == 5)
        release.set()
        assert len(await task) == 5


def test_either_a_number_or_a_duration_is_required() -> None:
    with pytest.raises(AssertionError):
        Load(1)
    with pytest.raises(AssertionError):
        Load(1, num_requests=1, duration_sec=1.0)


def test_default_number_of_requests() -> None:
    assert [default_num_requests(users) for users in (1, 4, 5, 16)] == [8, 8, 10, 32]


def test_rotated() -> None:
    assert rotated((1, 2, 4), 0) == (1, 2, 4)
    assert rotated((1, 2, 4), 1) == (2, 4, 1)
    assert rotated((1, 2, 4), 5) == (4, 1, 2)

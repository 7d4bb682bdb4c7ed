"""Poisson arrivals, in virtual time."""

import asyncio
from math import log
from random import Random
from statistics import mean, stdev

import pytest

from orpheus_server.bench.client.request_result import RequestResult
from orpheus_server.bench.speech.open_loop import (
    arrival_times,
    default_num_arrivals,
    largest_send_delay_sec,
    run_open_loop,
)
from tests.bench.results import failed, spoken
from tests.bench.virtual_time import VirtualTime


class TestArrivalTimes:
    def test_exponential_gaps(self) -> None:
        chance = Random(7)
        first_sec, second_sec = (-log(1.0 - chance.random()) / 4.0 for _ in range(2))
        arrivals_sec = arrival_times(4.0, seed=7, num_requests=3)
        assert arrivals_sec == (0.0, first_sec, first_sec + second_sec)

    def test_mean_and_deviation_of_the_gaps(self) -> None:
        """Both are the inverse of the rate, as for every exponential distribution."""
        arrivals_sec = arrival_times(4.0, seed=1, num_requests=20_001)
        gaps_sec = [b - a for a, b in zip(arrivals_sec, arrivals_sec[1:], strict=False)]
        assert mean(gaps_sec) == pytest.approx(0.25, rel=0.02)
        assert stdev(gaps_sec) == pytest.approx(0.25, rel=0.02)

    def test_a_duration(self) -> None:
        arrivals_sec = arrival_times(2.0, seed=1, duration_sec=10.0)
        longer_sec = arrival_times(2.0, seed=1, num_requests=len(arrivals_sec) + 1)
        assert arrivals_sec == longer_sec[:-1]
        assert arrivals_sec[-1] < 10.0 <= longer_sec[-1]

    def test_a_short_duration_has_one_request(self) -> None:
        assert arrival_times(0.01, seed=1, duration_sec=0.1) == (0.0,)

    def test_another_rate_scales_the_gaps(self) -> None:
        slow_sec = arrival_times(2.0, seed=3, num_requests=50)
        fast_sec = arrival_times(4.0, seed=3, num_requests=50)
        assert fast_sec == tuple(at_sec / 2 for at_sec in slow_sec)

    def test_the_seed(self) -> None:
        arrivals_sec = arrival_times(2.0, seed=3, num_requests=5)
        assert arrivals_sec == arrival_times(2.0, seed=3, num_requests=5)
        assert arrivals_sec != arrival_times(2.0, seed=4, num_requests=5)


def test_default_number_of_arrivals() -> None:
    assert [default_num_arrivals(rate) for rate in (0.1, 0.5, 2.0)] == [8, 15, 60]


@pytest.mark.anyio
class TestRunOpenLoop:
    async def test_requests_are_sent_on_time(self) -> None:
        time = VirtualTime()
        sent: list[tuple[int, float]] = []

        async def speak(index: int) -> RequestResult:
            sent.append((index, time.now_sec))
            return spoken()

        arrivals_sec = (0.0, 0.5, 0.75, 2.0)
        await run_open_loop(arrivals_sec, speak, clock=time.clock, sleep=time.sleep)
        assert sent == [(0, 100.0), (1, 100.5), (2, 100.75), (3, 102.0)]
        assert time.sleeps == [0.0, 0.5, 0.25, 1.25]

    async def test_no_request_waits_for_another_answer(self) -> None:
        """The first request ends only after the last one has been sent."""
        time = VirtualTime()
        all_sent = asyncio.Event()

        async def speak(index: int) -> RequestResult:
            started_sec = time.now_sec
            if index == 3:
                all_sent.set()
            await all_sent.wait()
            return spoken(started_sec=started_sec)

        arrivals_sec = (0.0, 1.0, 2.0, 3.0)
        results = await run_open_loop(arrivals_sec, speak, clock=time.clock, sleep=time.sleep)
        assert sorted(each.started_sec for each in results) == [100.0, 101.0, 102.0, 103.0]

    async def test_a_late_wake_up_does_not_delay_the_requests_after_it(self) -> None:
        """Each sleep is 0.5 s too long: the third request is due already, the fourth is not."""
        time = VirtualTime(late_sec=0.5)

        async def speak(index: int) -> RequestResult:
            return spoken(started_sec=time.now_sec)

        arrivals_sec = (0.0, 1.0, 1.25, 3.0)
        results = await run_open_loop(arrivals_sec, speak, clock=time.clock, sleep=time.sleep)
        assert [each.started_sec for each in results] == [100.5, 101.5, 102.0, 103.5]
        assert time.sleeps == [0.0, 0.5, 0.0, 1.0]


def test_largest_send_delay() -> None:
    """Results are in the order in which the responses ended; failures were sent too."""
    results = [spoken(started_sec=11.5), failed("503", started_sec=10.0), spoken(started_sec=12.0)]
    assert largest_send_delay_sec(results, (0.0, 1.25, 2.0)) == 0.25

"""Open-loop load: requests arrive as a Poisson process, whether or not earlier ones have ended."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from random import Random

from orpheus_server.bench.client.request_result import RequestResult
from orpheus_server.bench.client.speech import Clock, Sleep
from orpheus_server.bench.speech.load import Speak

_DEFAULT_DURATION_SEC = 30


def arrival_times(
    rate_per_sec: float,
    *,
    seed: int,
    num_requests: int | None = None,
    duration_sec: float | None = None,
) -> tuple[float, ...]:
    """Returns when each request is sent, in seconds since the first.

    Either a number of requests, or all that arrive in less than a duration. Another rate with the
    same seed has the same gaps, scaled.
    """
    arrivals = _poisson_process(rate_per_sec, seed=seed)
    if duration_sec is None:
        assert num_requests is not None
        return tuple(islice(arrivals, num_requests))
    assert num_requests is None
    return tuple(takewhile(lambda at_sec: at_sec < duration_sec, arrivals))


def _poisson_process(rate_per_sec: float, *, seed: int) -> Iterator[float]:
    chance = Random(seed)
    at_sec = 0.0
    while True:
        yield at_sec
        at_sec += chance.expovariate(rate_per_sec)


def default_num_arrivals(rate_per_sec: float) -> int:
    """Those of about half a minute; at least 8, for a median."""
    return max(round(_DEFAULT_DURATION_SEC * rate_per_sec), 8)


async def run_open_loop(
    arrivals_sec: Sequence[float],
    speak: Speak,
    *,
    clock: Clock = time.perf_counter,
    sleep: Sleep = asyncio.sleep,
) -> list[RequestResult]:
    """The results in the order in which the responses ended.

    A late wake-up delays one request, not those after it: each is due at its own time.
    """
    results: list[RequestResult] = []
    start_sec = clock()

    async def send(index: int) -> None:
        results.append(await speak(index))

    async with asyncio.TaskGroup() as tasks:
        for index, arrival_sec in enumerate(arrivals_sec):
            # Also if it is due already: a task starts only when this one yields.
            await sleep(max(0.0, start_sec + arrival_sec - clock()))
            tasks.create_task(send(index))
    return results


def largest_send_delay_sec(
    results: Sequence[RequestResult], arrivals_sec: Sequence[float]
) -> float:
    """Returns how late a request was sent at most, relative to the first: the client's own lag."""
    sent_sec = sorted(result.started_sec for result in results)
    return max(
        sent - sent_sec[0] - arrival for sent, arrival in zip(sent_sec, arrivals_sec, strict=True)
    )

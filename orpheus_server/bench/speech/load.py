"""Closed-loop load: each worker sends its next request when its last response has ended."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from orpheus_server.bench.client.request_result import RequestResult
from orpheus_server.bench.client.speech import Clock, Sleep

T = TypeVar("T")

Speak = Callable[[int], Awaitable[RequestResult]]
"""Sends the request with this index; the same index is the same request."""


@dataclass(frozen=True, slots=True)
class Load:
    """Number of workers, and when they stop: after a number of requests or a duration."""

    concurrency: int
    num_requests: int | None = None
    duration_sec: float | None = None
    first_index: int = 0
    stagger_sec: float = 0.0
    """Time between the starts of two workers; 0 starts all of them at once."""

    def __post_init__(self) -> None:
        assert (self.num_requests is None) != (self.duration_sec is None)


def default_num_requests(concurrency: int) -> int:
    """Two per worker, so that the batch changes during the level; at least 8, for a median."""
    return max(2 * concurrency, 8)


def rotated(items: Sequence[T], num_steps: int) -> tuple[T, ...]:
    """The items rotated by `num_steps`, so that no level comes first in every round."""
    cut = num_steps % len(items)
    return (*items[cut:], *items[:cut])


async def run_load(
    load: Load,
    speak: Speak,
    *,
    clock: Clock = time.perf_counter,
    sleep: Sleep = asyncio.sleep,
) -> list[RequestResult]:
    """The results in the order in which the responses ended.

    A request that has begun is always finished, so the last ones run beside fewer others.
    """
    indexes = itertools.count()
    results: list[RequestResult] = []
    end_sec = None if load.duration_sec is None else clock() + load.duration_sec

    async def work(worker: int) -> None:
        if load.stagger_sec:
            await sleep(worker * load.stagger_sec)
        while end_sec is None or clock() < end_sec:
            index = next(indexes)
            if load.num_requests is not None and index >= load.num_requests:
                return
            results.append(await speak(load.first_index + index))

    async with asyncio.TaskGroup() as tasks:
        for worker in range(load.concurrency):
            tasks.create_task(work(worker))
    return results

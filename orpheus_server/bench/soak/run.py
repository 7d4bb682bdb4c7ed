"""Runs the load of a soak and reads the server's metrics, under load and at rest."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from orpheus_server.bench.client.health_probe import HealthProbe
from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.client.server_metrics import (
    MetricsUnavailable,
    ServerMetrics,
    read_metrics,
)
from orpheus_server.bench.client.speech import Clock, Sleep
from orpheus_server.bench.soak.leaks import has_grown
from orpheus_server.bench.soak.result import SoakResult
from orpheus_server.bench.soak.stats import MinuteStats, minute_stats
from orpheus_server.bench.soak.user import pause_after
from orpheus_server.concurrency import cancel_all

Perform = Callable[[int], Awaitable[SoakResult]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Intervals at which the server is observed."""

    minute_sec: float = 60.0
    health_sec: float = 1.0
    rest_poll_sec: float = 1.0
    rest_limit_sec: float = 30.0
    """How long to wait for the server to come to rest."""


@dataclass(frozen=True, slots=True)
class Soaked:
    """The results of one run of the load."""

    results: tuple[SoakResult, ...]
    minutes: tuple[MinuteStats, ...]
    memory: tuple[tuple[float, int], ...]
    """(Minutes since the start, resident bytes) of readings under load."""


class SoakRun:
    """Runs the load on one server, once or several times."""

    def __init__(
        self,
        caller: HttpCaller,
        perform: Perform,
        *,
        num_users: int,
        timing: Timing,
        on_minute: Callable[[MinuteStats], None],
        clock: Clock = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._caller = caller
        self._perform = perform
        self._num_users = num_users
        self._timing = timing
        self._on_minute = on_minute
        self._clock = clock
        self._sleep = sleep

    async def load(self, *, duration_sec: float, first_index: int) -> Soaked:
        """Runs the users for `duration_sec` and then until their last requests have ended."""
        timing = self._timing
        start_sec = self._clock()
        end_sec = start_sec + duration_sec
        indexes = itertools.count(first_index)
        results: list[SoakResult] = []
        minutes: list[MinuteStats] = []
        memory: list[tuple[float, int]] = []
        all_done = asyncio.Event()
        probe = HealthProbe(
            self._caller, every_sec=timing.health_sec, clock=self._clock, sleep=self._sleep
        )

        async def use() -> None:
            while self._clock() < end_sec:
                result = await self._perform(next(indexes))
                results.append(result)
                pause_sec = min(pause_after(result), end_sec - self._clock())
                if pause_sec > 0:
                    await self._sleep(pause_sec)

        async def watch() -> None:
            num_reported = 0
            for number in itertools.count(1):
                mark_sec = min(start_sec + number * timing.minute_sec, end_sec)
                await self._sleep(max(0.0, mark_sec - self._clock()))
                metrics = await self._read()
                if metrics is not None:
                    minute = (self._clock() - start_sec) / timing.minute_sec
                    memory.append((minute, metrics.resident_bytes))
                if mark_sec >= end_sec:
                    # Requests that end after the last minute are counted in it.
                    await all_done.wait()
                minute_results, num_reported = results[num_reported:], len(results)
                minutes.append(
                    minute_stats(number, minute_results, health_sec=probe.take(), metrics=metrics)
                )
                self._on_minute(minutes[-1])
                if mark_sec >= end_sec:
                    return

        async with asyncio.TaskGroup() as tasks:
            probing = asyncio.create_task(probe.run())
            try:
                watching = tasks.create_task(watch())
                async with asyncio.TaskGroup() as users:
                    for _ in range(self._num_users):
                        users.create_task(use())
                all_done.set()
                await watching
            finally:
                await cancel_all([probing])
        return Soaked(tuple(results), tuple(minutes), tuple(memory))

    async def settle(self, baseline: ServerMetrics | None = None) -> ServerMetrics:
        """Waits until the server is at rest and not above the baseline; returns its metrics.

        After `rest_limit_sec` it returns the current metrics, or raises `MetricsUnavailable`.
        """
        end_sec = self._clock() + self._timing.rest_limit_sec
        before: ServerMetrics | None = None
        while True:
            is_over = self._clock() >= end_sec
            now = await (read_metrics(self._caller) if is_over else self._read())
            is_steady = before is not None and now is not None and _counts(before) == _counts(now)
            if now is not None and now.is_at_rest and is_steady:
                is_over = is_over or baseline is None or not has_grown(baseline, now)
            if is_over and now is not None:
                return now
            before = now
            await self._sleep(self._timing.rest_poll_sec)

    async def _read(self) -> ServerMetrics | None:
        with suppress(MetricsUnavailable):
            return await read_metrics(self._caller)
        return None


def _counts(metrics: ServerMetrics) -> Sequence[int]:
    return metrics.num_open_files, metrics.num_threads, metrics.num_tasks

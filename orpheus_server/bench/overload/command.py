"""Measures whether overload harms admitted streams: half, full and twice the capacity."""

import asyncio
import itertools
import sys
import time
from argparse import Namespace
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from orpheus_server.bench import report
from orpheus_server.bench.client.health_probe import HealthProbe
from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.client.server_metrics import MetricsUnavailable, read_metrics
from orpheus_server.bench.client.speech import Clock, Sleep, SpeechClient, Target, Unreachable
from orpheus_server.bench.client.texts import text_for
from orpheus_server.bench.machine_card import MachineCard, ServerFacts, read_card
from orpheus_server.bench.overload.stats import (
    Listened,
    OverloadStats,
    overload_stats,
    overload_table,
)
from orpheus_server.bench.soak.mix import Ask, Mix
from orpheus_server.bench.soak.result import judge
from orpheus_server.bench.soak.user import pause_after
from orpheus_server.concurrency import WorkerPool, cancel_all

_SHARES = (0.5, 1.0, 2.0)
_RAMP_SEC = 10.0
"""The users arrive at even intervals over this time, in which about one text is played."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options, all of which are written to the JSON document: so the API key is not one."""

    target: Target
    capacity: int | None
    """None for the capacity that the server reports."""

    round_sec: float
    ramp_sec: float
    seed: int


@dataclass(frozen=True, slots=True)
class Overloaded:
    """The results of all rounds."""

    started_at: str
    card: MachineCard
    server: ServerFacts
    capacity: int
    rounds: tuple[OverloadStats, ...]

    @property
    def num_failed(self) -> int:
        """Failures in all rounds; refusals are not failures."""
        return sum(each.num_failed for each in self.rounds)


def user_counts(capacity: int) -> tuple[int, ...]:
    """Returns half, full and twice the capacity, without duplicates."""
    return tuple(dict.fromkeys(max(1, round(share * capacity)) for share in _SHARES))


def options_of(parsed: Namespace, *, ramp_sec: float) -> Options:
    """Returns the options of a command line."""
    return Options(
        target=Target(
            url=parsed.url,
            model=parsed.model,
            voice=parsed.voice,
            timeout_sec=parsed.timeout_sec,
        ),
        capacity=parsed.capacity,
        round_sec=parsed.round_sec,
        ramp_sec=ramp_sec,
        seed=parsed.seed,
    )


def run(parsed: Namespace, *, ramp_sec: float = _RAMP_SEC) -> int:
    """Measures and prints; 1 for a failure or unreachable server, 2 for an unknown capacity."""
    options = options_of(parsed, ramp_sec=ramp_sec)
    try:
        outcome = asyncio.run(_measure(options, parsed.api_key))
    except Unreachable as error:
        _print_status(str(error))
        return 1
    except MetricsUnavailable as error:
        _print_status(f"{error}: the capacity is unknown; set --capacity.")
        return 2
    except KeyboardInterrupt:
        _print_status("stopped")
        return 130
    print(report.card_text(outcome.card, outcome.server))
    print(f"capacity: {outcome.capacity} streams")
    print(overload_table(outcome.rounds))
    for stats in outcome.rounds:
        for failure, count in stats.failures.items():
            print(f"  {stats.num_users} users: {count} x {failure}")
    document = {
        "benchmark": "overload",
        "settings": asdict(options),
        **asdict(outcome),
        "num_failed": outcome.num_failed,
    }
    line = report.json_line(document)
    if parsed.json is not None:
        parsed.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 1 if outcome.num_failed else 0


async def _measure(options: Options, api_key: str | None) -> Overloaded:
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    target = options.target
    async with SpeechClient(target, api_key=api_key) as client:
        facts = await client.facts()
    pool = WorkerPool(1)
    rounds: list[OverloadStats] = []
    try:
        async with HttpCaller(
            target.root_url, api_key=api_key, timeout_sec=target.timeout_sec
        ) as caller:
            capacity = options.capacity or (await read_metrics(caller)).num_streams_capacity
            for num_users in user_counts(capacity):
                listeners = Listeners(caller, options, pool=pool)
                rounds.append(await listeners.run(num_users))
                _print_status(f"{num_users} users: {rounds[-1].num_served} streams served")
    finally:
        await pool.close()
    return Overloaded(started_at, read_card(), facts, capacity, tuple(rounds))


class Listeners:
    """Users that request the next text as soon as they have received the previous one.

    The capacity counts streams that are being synthesised. Users that also waited until a stream
    had been played would leave the server idle most of the time and would never have to queue.
    """

    def __init__(
        self,
        caller: HttpCaller,
        options: Options,
        *,
        pool: WorkerPool,
        clock: Clock = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._caller = caller
        self._options = options
        self._mix = Mix(options.seed, model=options.target.model, voice=options.target.voice)
        self._pool = pool
        self._clock = clock
        self._sleep = sleep
        self._indexes = itertools.count()

    async def run(self, num_users: int) -> OverloadStats:
        """Runs `num_users` users until `round_sec` after the last of them has arrived."""
        start_sec = self._clock()
        window = (
            start_sec + self._options.ramp_sec,
            start_sec + self._options.ramp_sec + self._options.round_sec,
        )
        listened: list[Listened] = []
        probe = HealthProbe(self._caller, clock=self._clock, sleep=self._sleep)
        probing = asyncio.create_task(probe.run())
        try:
            async with asyncio.TaskGroup() as users:
                for number in range(num_users):
                    wait_sec = number * self._options.ramp_sec / num_users
                    users.create_task(self._use(wait_sec, window[1], listened))
        finally:
            await cancel_all([probing])
        return overload_stats(listened, num_users=num_users, window=window, health_sec=probe.take())

    async def _use(self, wait_sec: float, end_sec: float, listened: list[Listened]) -> None:
        await self._sleep(wait_sec)
        while True:
            each = await self._ask()
            listened.append(each)
            if each.result.outcome != "ok":
                await self._sleep(min(pause_after(each.result), max(0.0, end_sec - self._clock())))
            if self._clock() >= end_sec:
                return

    async def _ask(self) -> Listened:
        index = next(self._indexes)
        ask = Ask("pcm", text_for("medium", index), "pcm", self._options.seed + index)
        exchange = await self._caller.post("/v1/audio/speech", self._mix.body(ask))
        return Listened(exchange, await self._pool.run(judge, ask, exchange))


def _print_status(line: str) -> None:
    print(f"orpheus-server bench: {line}", file=sys.stderr, flush=True)

"""Sends the load to one server, or to two in turn: all levels in each round, or bursts."""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from orpheus_server.bench.client.request_result import RequestResult, measure
from orpheus_server.bench.client.speech import Clock, Sleep, SpeechClient
from orpheus_server.bench.client.texts import sentences_for, text_for
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.level_stats import LevelStats, level_stats
from orpheus_server.bench.speech.load import Load, default_num_requests, rotated, run_load
from orpheus_server.bench.speech.open_loop import (
    arrival_times,
    default_num_arrivals,
    run_open_loop,
)
from orpheus_server.bench.speech.options import Options
from orpheus_server.bench.speech.report import LevelReport, progress_line

ServerName = Literal["own", "peer"]
Clients = Mapping[ServerName, SpeechClient]
"""The client of the server under test, and that of the peer if there is one."""


async def run_sweep(
    options: Options,
    clients: Clients,
    *,
    clock: Clock = time.perf_counter,
    sleep: Sleep = asyncio.sleep,
) -> tuple[LevelReport, ...]:
    """Runs every text length at every level in each round, in a rotated order.

    A level runs on one server right after the other; another one is first in the next round.
    """
    levels = [level for texts in options.texts for level in options.levels(texts)]
    rounds: dict[tuple[Level, ServerName], list[LevelStats]] = defaultdict(list)
    for number in range(options.rounds):
        for texts in rotated(options.texts, number):
            for level in rotated(options.levels(texts), number):
                for server in rotated(tuple(clients), number):
                    stats = await _run_level(
                        options, clients[server], level, clock=clock, sleep=sleep
                    )
                    rounds[level, server].append(stats)
                    label = f"round {number + 1}/{options.rounds}, {level.name}"
                    _print_progress(label, stats, server=server if len(clients) > 1 else None)
    return tuple(
        LevelReport(level, tuple(rounds[level, "own"]), tuple(rounds[level, "peer"]))
        for level in levels
    )


async def _run_level(
    options: Options, client: SpeechClient, level: Level, *, clock: Clock, sleep: Sleep
) -> LevelStats:
    async def speak(index: int) -> RequestResult:
        return measure(await client.speak(text_for(level.texts, index), seed=options.seed + index))

    num_requests, duration_sec = options.num_requests, options.duration_sec
    has_default = num_requests is None and duration_sec is None
    if level.rate_per_sec is not None:
        arrivals_sec = arrival_times(
            level.rate_per_sec,
            seed=options.seed,
            num_requests=default_num_arrivals(level.rate_per_sec) if has_default else num_requests,
            duration_sec=duration_sec,
        )
        results = await run_open_loop(arrivals_sec, speak, clock=clock, sleep=sleep)
        return level_stats(results, arrivals_sec=arrivals_sec)
    assert level.concurrency is not None
    load = Load(
        level.concurrency,
        num_requests=default_num_requests(level.concurrency) if has_default else num_requests,
        duration_sec=duration_sec,
        stagger_sec=options.stagger_sec,
    )
    return level_stats(await run_load(load, speak, clock=clock, sleep=sleep))


async def run_bursts(
    options: Options, clients: Clients, *, num_users: int, num_sentences: int
) -> Mapping[ServerName, Sequence[Sequence[RequestResult]]]:
    """Runs one burst after the other, each on one server right after the other."""
    bursts: dict[ServerName, list[Sequence[RequestResult]]] = {server: [] for server in clients}
    for number in range(options.num_bursts):
        load = Load(num_users, num_requests=num_users, first_index=number * num_users)
        for server in rotated(tuple(clients), number):
            speak = partial(
                _speak_sentences, clients[server], num_sentences=num_sentences, seed=options.seed
            )
            results = await run_load(load, speak)
            bursts[server].append(results)
            label = f"burst {number + 1}/{options.num_bursts}"
            stats = level_stats(results)
            _print_progress(label, stats, server=server if len(clients) > 1 else None)
    return bursts


async def _speak_sentences(
    client: SpeechClient, index: int, *, num_sentences: int, seed: int
) -> RequestResult:
    text = sentences_for(index, num_sentences=num_sentences)
    return measure(await client.speak(text, seed=seed + index))


def _print_progress(label: str, stats: LevelStats, *, server: ServerName | None) -> None:
    """Prints how a round or burst went; `server` is None if there is only one."""
    name = "" if server is None else f", {server}"
    print_status(f"{label}{name}: {progress_line(stats)}")


def print_status(line: str) -> None:
    """Prints a line to stderr: progress, or why the benchmark ends."""
    print(f"orpheus-server bench: {line}", file=sys.stderr, flush=True)

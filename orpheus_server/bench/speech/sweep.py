"""Sends the load: all levels in each round, or bursts."""

import sys
from collections.abc import Sequence

from orpheus_server.bench.client.request_result import RequestResult, measure
from orpheus_server.bench.client.speech import SpeechClient
from orpheus_server.bench.client.texts import sentences_for, text_for
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.level_stats import LevelStats, level_stats
from orpheus_server.bench.speech.load import Load, default_num_requests, rotated, run_load
from orpheus_server.bench.speech.options import Options
from orpheus_server.bench.speech.report import LevelReport, progress_line


async def run_sweep(options: Options, client: SpeechClient) -> tuple[LevelReport, ...]:
    """Runs every text length at every level in each round, in a rotated order."""
    levels = [Level(texts, users) for texts in options.texts for users in options.concurrency]
    rounds: dict[Level, list[LevelStats]] = {level: [] for level in levels}
    for number in range(options.rounds):
        for texts in rotated(options.texts, number):
            for users in rotated(options.concurrency, number):
                level = Level(texts, users)
                stats = level_stats(await _run_level(options, client, level))
                rounds[level].append(stats)
                label = f"round {number + 1}/{options.rounds}, {level.name}"
                print_status(f"{label}: {progress_line(stats)}")
    return tuple(LevelReport(level, tuple(stats)) for level, stats in rounds.items())


async def _run_level(
    options: Options, client: SpeechClient, level: Level
) -> Sequence[RequestResult]:
    async def speak(index: int) -> RequestResult:
        return measure(await client.speak(text_for(level.texts, index), seed=options.seed + index))

    num_requests = options.num_requests
    if num_requests is None and options.duration_sec is None:
        num_requests = default_num_requests(level.concurrency)
    load = Load(
        level.concurrency,
        num_requests=num_requests,
        duration_sec=options.duration_sec,
        stagger_sec=options.stagger_sec,
    )
    return await run_load(load, speak)


async def run_bursts(
    options: Options, client: SpeechClient, *, num_users: int, num_sentences: int
) -> list[Sequence[RequestResult]]:
    """Runs one burst after the other."""

    async def speak(index: int) -> RequestResult:
        text = sentences_for(index, num_sentences=num_sentences)
        return measure(await client.speak(text, seed=options.seed + index))

    bursts: list[Sequence[RequestResult]] = []
    for number in range(options.num_bursts):
        load = Load(num_users, num_requests=num_users, first_index=number * num_users)
        results = await run_load(load, speak)
        bursts.append(results)
        label = f"burst {number + 1}/{options.num_bursts}"
        print_status(f"{label}: {progress_line(level_stats(results))}")
    return bursts


def print_status(line: str) -> None:
    """Prints a line to stderr: progress, or why the benchmark ends."""
    print(f"orpheus-server bench: {line}", file=sys.stderr, flush=True)

"""The benchmark of a running server: users who send one request after the other, or bursts."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from orpheus_server.bench import report
from orpheus_server.bench.client.request_result import RequestResult, measure
from orpheus_server.bench.client.speech import SpeechClient, Target, Unreachable
from orpheus_server.bench.client.texts import TextLength, sentences_for, text_for
from orpheus_server.bench.machine_card import MachineCard, ServerFacts, read_card
from orpheus_server.bench.speech.burst_stats import burst_stats
from orpheus_server.bench.speech.level_stats import LevelStats, level_stats
from orpheus_server.bench.speech.load import Load, default_num_requests, rotated, run_load
from orpheus_server.bench.speech.report import (
    LevelReport,
    burst_text,
    highest_text,
    highest_without_underrun,
    level_document,
    progress_line,
    table,
)


class WarmUpFailed(Exception):
    """The server responds, but a warm-up request failed."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. All of it is written to the JSON document, so the API key is left out."""

    target: Target
    texts: tuple[TextLength, ...]
    concurrency: tuple[int, ...]
    rounds: int
    num_requests: int | None
    """Per level; None without a duration means `default_num_requests`."""

    duration_sec: float | None
    stagger_sec: float
    seed: int
    """Seed of the first request; each further one adds 1. Every round uses the same seeds."""

    num_warmups: int
    burst: tuple[int, int] | None
    """Users, and sentences per user; None for a sweep over levels."""

    num_bursts: int


def options_of(parsed: Namespace) -> Options:
    """The options of a command line."""
    return Options(
        target=Target(
            url=parsed.url,
            model=parsed.model,
            voice=parsed.voice,
            is_streaming=not parsed.no_stream,
            reads_in_real_time=parsed.realtime_readers,
            timeout_sec=parsed.timeout_sec,
        ),
        texts=parsed.texts,
        concurrency=parsed.concurrency,
        rounds=parsed.rounds,
        num_requests=parsed.requests,
        duration_sec=parsed.duration_sec,
        stagger_sec=parsed.stagger_sec,
        seed=parsed.seed,
        num_warmups=parsed.warmup,
        burst=parsed.burst,
        num_bursts=parsed.repeats,
    )


def run(parsed: Namespace) -> int:
    """Measures and prints; returns 0, or 1 if the server is unreachable or a request failed."""
    options = options_of(parsed)
    try:
        bench = asyncio.run(_measure(options, parsed.api_key))
    except (Unreachable, WarmUpFailed) as error:
        _print_status(str(error))
        return 1
    except KeyboardInterrupt:
        _print_status("stopped")
        return 130
    _print(bench, bench.document(options), copy_file=parsed.json)
    return 1 if bench.num_failed else 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that is reported."""

    started_at: str
    card: MachineCard
    server: ServerFacts
    num_failed: int
    text: str
    figures: Mapping[str, object]

    def document(self, options: Options) -> dict[str, object]:
        """The JSON document."""
        return {
            "benchmark": "speech",
            "started_at": self.started_at,
            "settings": asdict(options),
            "machine": asdict(self.card),
            "server": asdict(self.server),
            **self.figures,
            "num_failed": self.num_failed,
        }


def _print(bench: Measured, document: Mapping[str, object], *, copy_file: Path | None) -> None:
    print(report.card_text(bench.card, bench.server))
    print(bench.text)
    line = report.json_line(document)
    if copy_file is not None:
        copy_file.write_text(line + "\n", encoding="utf-8")
    print(line)


async def _measure(options: Options, api_key: str | None) -> Measured:
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    async with SpeechClient(options.target, api_key=api_key) as client:
        facts = await client.facts()
        # Figures of the first requests would include compilation and cold caches.
        for index in range(options.num_warmups):
            text = text_for("short", index)
            result = measure(await client.speak(text, seed=options.seed + index))
            if result.failure is not None:
                raise WarmUpFailed(f"The warm-up request failed: {result.failure}")
        if options.burst is None:
            levels = await _sweep(options, client)
            highest = highest_without_underrun(levels)
            return Measured(
                started_at=started_at,
                card=read_card(),
                server=facts,
                num_failed=sum(level.summary.num_failed for level in levels),
                text=f"{table(levels)}\n{highest_text(highest)}",
                figures={
                    "levels": [level_document(level) for level in levels],
                    "highest_concurrency_without_underrun": highest,
                },
            )
        num_users, num_sentences = options.burst
        bursts = await _bursts(options, client, num_users, num_sentences)
        stats = burst_stats(bursts)
        return Measured(
            started_at=started_at,
            card=read_card(),
            server=facts,
            num_failed=stats.num_failed,
            text=burst_text(
                stats,
                num_users=num_users,
                num_sentences=num_sentences,
                num_bursts=options.num_bursts,
            ),
            figures={"bursts": asdict(stats)},
        )


async def _sweep(options: Options, client: SpeechClient) -> tuple[LevelReport, ...]:
    """Runs every text length at every level in each round, in a rotated order."""
    rounds: dict[tuple[TextLength, int], list[LevelStats]] = {
        (texts, users): [] for texts in options.texts for users in options.concurrency
    }
    for number in range(options.rounds):
        for texts in rotated(options.texts, number):
            for users in rotated(options.concurrency, number):
                stats = level_stats(await _level(options, client, texts, users))
                rounds[texts, users].append(stats)
                label = f"round {number + 1}/{options.rounds}, {texts}, {users} users"
                _print_status(f"{label}: {progress_line(stats)}")
    return tuple(LevelReport(*key, rounds=tuple(stats)) for key, stats in rounds.items())


async def _level(
    options: Options, client: SpeechClient, texts: TextLength, users: int
) -> Sequence[RequestResult]:
    async def speak(index: int) -> RequestResult:
        return measure(await client.speak(text_for(texts, index), seed=options.seed + index))

    num_requests = options.num_requests
    if num_requests is None and options.duration_sec is None:
        num_requests = default_num_requests(users)
    load = Load(
        users,
        num_requests=num_requests,
        duration_sec=options.duration_sec,
        stagger_sec=options.stagger_sec,
    )
    return await run_load(load, speak)


async def _bursts(
    options: Options, client: SpeechClient, num_users: int, num_sentences: int
) -> list[Sequence[RequestResult]]:
    async def speak(index: int) -> RequestResult:
        text = sentences_for(index, num_sentences=num_sentences)
        return measure(await client.speak(text, seed=options.seed + index))

    bursts: list[Sequence[RequestResult]] = []
    for number in range(options.num_bursts):
        load = Load(num_users, num_requests=num_users, first_index=number * num_users)
        results = await run_load(load, speak)
        bursts.append(results)
        label = f"burst {number + 1}/{options.num_bursts}"
        _print_status(f"{label}: {progress_line(level_stats(results))}")
    return bursts


def _print_status(line: str) -> None:
    print(f"orpheus-server bench: {line}", file=sys.stderr, flush=True)

"""The benchmark of a running server: users, arrivals at a rate, or bursts."""

import asyncio
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from orpheus_server.bench import report
from orpheus_server.bench.client.request_result import measure
from orpheus_server.bench.client.speech import SpeechClient, Unreachable
from orpheus_server.bench.client.texts import text_for
from orpheus_server.bench.machine_card import MachineCard, ServerFacts, read_card
from orpheus_server.bench.speech.burst_stats import burst_stats
from orpheus_server.bench.speech.options import Options, options_of
from orpheus_server.bench.speech.report import (
    burst_text,
    highest_text,
    highest_without_underrun,
    level_document,
    table,
)
from orpheus_server.bench.speech.sweep import print_status, run_bursts, run_sweep


class WarmUpFailed(Exception):
    """The server responds, but a warm-up request failed."""


def run(parsed: Namespace) -> int:
    """Measures and prints; returns 0, or 1 if the server is unreachable or a request failed."""
    options = options_of(parsed)
    try:
        bench = asyncio.run(_measure(options, parsed.api_key))
    except (Unreachable, WarmUpFailed) as error:
        print_status(str(error))
        return 1
    except KeyboardInterrupt:
        print_status("stopped")
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
            levels = await run_sweep(options, client)
            highest = highest_without_underrun(levels)
            is_open_loop = bool(options.rates_per_sec)
            load = "rate" if is_open_loop else "concurrency"
            unit = "requests/s" if is_open_loop else "users"
            return Measured(
                started_at=started_at,
                card=read_card(),
                server=facts,
                num_failed=sum(level.summary.num_failed for level in levels),
                text=f"{table(levels)}\n{highest_text(highest, unit=unit)}",
                figures={
                    "levels": [level_document(level) for level in levels],
                    f"highest_{load}_without_underrun": highest,
                },
            )
        num_users, num_sentences = options.burst
        bursts = await run_bursts(options, client, num_users=num_users, num_sentences=num_sentences)
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

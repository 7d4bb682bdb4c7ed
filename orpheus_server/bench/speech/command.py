"""The benchmark of a running server, or of two: users, arrivals at a rate, or bursts."""

import asyncio
from argparse import Namespace
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
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
from orpheus_server.bench.speech.ratio_report import burst_ratio_text
from orpheus_server.bench.speech.ratios import burst_ratios
from orpheus_server.bench.speech.report import (
    burst_text,
    highest_text,
    highest_without_underrun,
    level_document,
    table,
)
from orpheus_server.bench.speech.sweep import (
    Clients,
    ServerName,
    print_status,
    run_bursts,
    run_sweep,
)


class WarmUpFailed(Exception):
    """The server responds, but a warm-up request failed."""


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys, which are in no document."""

    own: str | None
    peer: str | None


def run(parsed: Namespace) -> int:
    """Measures and prints; returns 0, or 1 if a server is unreachable or a request failed."""
    options = options_of(parsed)
    peer_key = parsed.api_key if parsed.peer_api_key is None else parsed.peer_api_key or None
    try:
        bench = asyncio.run(_measure(options, ApiKeys(parsed.api_key, peer_key)))
    except (Unreachable, WarmUpFailed) as error:
        print_status(str(error))
        return 1
    except KeyboardInterrupt:
        print_status("stopped")
        return 130
    _print(bench, options, copy_file=parsed.json)
    return 1 if any(bench.figures.num_failed.values()) else 0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the sweep or of the bursts."""

    num_failed: Mapping[ServerName, int]
    text: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that is reported."""

    started_at: str
    card: MachineCard
    server: ServerFacts
    peer: ServerFacts | None
    figures: Figures

    def document(self, options: Options) -> dict[str, object]:
        """The JSON document."""
        document = {
            "benchmark": "speech",
            "started_at": self.started_at,
            "settings": asdict(options),
            "machine": asdict(self.card),
            "server": asdict(self.server),
            **self.figures.document,
            "num_failed": self.figures.num_failed["own"],
        }
        if self.peer is not None:
            document["peer_server"] = asdict(self.peer)
            document["peer_num_failed"] = self.figures.num_failed["peer"]
        return document


def _print(bench: Measured, options: Options, *, copy_file: Path | None) -> None:
    print(report.card_text(bench.card, bench.server))
    if options.peer is not None and bench.peer is not None:
        print(report.peer_text(options.peer.url, bench.peer))
    print(bench.figures.text)
    line = report.json_line(bench.document(options))
    if copy_file is not None:
        copy_file.write_text(line + "\n", encoding="utf-8")
    print(line)


async def _measure(options: Options, keys: ApiKeys) -> Measured:
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(SpeechClient(options.target, api_key=keys.own))
        clients: dict[ServerName, SpeechClient] = {"own": own}
        facts, peer_facts = await own.facts(), None
        if options.peer is not None:
            peer = await stack.enter_async_context(SpeechClient(options.peer, api_key=keys.peer))
            clients["peer"] = peer
            peer_facts = await _peer_facts(peer)
        for server, client in clients.items():
            await _warm_up(options, client, server=server)
        figures = await (
            _sweep(options, clients) if options.burst is None else _bursts(options, clients)
        )
    return Measured(started_at, read_card(), facts, peer_facts, figures)


async def _peer_facts(client: SpeechClient) -> ServerFacts:
    """What the peer reports about itself, if it has such routes at all."""
    with suppress(Unreachable):
        return await client.facts()
    return ServerFacts(model=None, version=None)


async def _warm_up(options: Options, client: SpeechClient, *, server: ServerName) -> None:
    # Figures of the first requests would include compilation and cold caches.
    for index in range(options.num_warmups):
        text = text_for("short", index)
        result = measure(await client.speak(text, seed=options.seed + index))
        if result.failure is not None:
            name = "The warm-up request" if server == "own" else "The peer's warm-up request"
            raise WarmUpFailed(f"{name} failed: {result.failure}")


async def _sweep(options: Options, clients: Clients) -> Figures:
    levels = await run_sweep(options, clients)
    is_open_loop = bool(options.rates_per_sec)
    key = f"highest_{'rate' if is_open_loop else 'concurrency'}_without_underrun"
    unit = "requests/s" if is_open_loop else "users"
    highest = highest_without_underrun(levels)
    lines = [table(levels), highest_text(highest, unit=unit)]
    num_failed: dict[ServerName, int] = {"own": sum(each.summary.num_failed for each in levels)}
    document = {"levels": [level_document(each) for each in levels], key: highest}
    if options.peer is not None:
        peer_highest = highest_without_underrun(levels, of_peer=True)
        lines.append(f"peer: {highest_text(peer_highest, unit=unit)}")
        num_failed["peer"] = sum(stats.num_failed for each in levels for stats in each.peer_rounds)
        document[f"peer_{key}"] = peer_highest
    return Figures(num_failed, "\n".join(lines), document)


async def _bursts(options: Options, clients: Clients) -> Figures:
    assert options.burst is not None
    num_users, num_sentences = options.burst
    bursts = await run_bursts(options, clients, num_users=num_users, num_sentences=num_sentences)
    stats = {server: burst_stats(results) for server, results in bursts.items()}
    texts = {
        server: burst_text(
            each,
            num_users=num_users,
            num_sentences=num_sentences,
            num_bursts=options.num_bursts,
        )
        for server, each in stats.items()
    }
    num_failed = {server: each.num_failed for server, each in stats.items()}
    document: dict[str, object] = {"bursts": asdict(stats["own"])}
    if options.peer is None:
        return Figures(num_failed, texts["own"], document)
    ratios = burst_ratios(stats["peer"], own=stats["own"])
    document["peer_bursts"] = asdict(stats["peer"])
    document["peer_over_own"] = asdict(ratios)
    lines = [*(f"{server}: {text}" for server, text in texts.items()), burst_ratio_text(ratios)]
    return Figures(num_failed, "\n".join(lines), document)

"""A soak: a long mixed load whose responses are all checked; leaks of the server are failures."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from orpheus_server.bench import report
from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.client.server_metrics import (
    MetricsUnavailable,
    ServerMetrics,
    read_metrics,
)
from orpheus_server.bench.client.speech import SpeechClient, Target, Unreachable
from orpheus_server.bench.machine_card import MachineCard, ServerFacts, read_card
from orpheus_server.bench.soak import report as soak_report
from orpheus_server.bench.soak.leaks import Verdict, judge_leaks, unjudged
from orpheus_server.bench.soak.mix import Mix
from orpheus_server.bench.soak.run import Soaked, SoakRun, Timing
from orpheus_server.bench.soak.stats import MinuteStats, SoakTotals, soak_totals
from orpheus_server.bench.soak.user import SoakUser
from orpheus_server.concurrency import WorkerPool

_DEFAULT_USERS = 8
"""Used if the server does not report its capacity."""

_WARM_UP_SHARE = 0.1
_MOST_WARM_UP_MIN = 1.0
_FIRST_INDEX = 1_000_000
"""Index of the first request after the warm-up, which does not send as many requests."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options, all of which are written to the JSON document: so the API key is not one."""

    target: Target
    minutes: float
    num_users: int | None
    """None for the capacity that the server reports."""

    mix: Mix
    is_leak_checked: bool


@dataclass(frozen=True, slots=True)
class SoakOutcome:
    """The results of a soak."""

    started_at: str
    card: MachineCard
    server: ServerFacts
    num_users: int
    warm_up: SoakTotals
    minutes: tuple[MinuteStats, ...]
    totals: SoakTotals
    baseline: ServerMetrics | None
    verdict: Verdict | None
    """None if leaks were not checked."""

    @property
    def is_clean(self) -> bool:
        """True if there were no leaks and no failures, including those of the warm-up."""
        num_failed = self.totals.outcomes["failed"] + self.warm_up.outcomes["failed"]
        return not num_failed and not (self.verdict and self.verdict.leaks)

    def document(self, options: Options) -> dict[str, object]:
        """Returns the JSON document."""
        return {
            "benchmark": "soak",
            "settings": asdict(options),
            **asdict(self),
            "is_clean": self.is_clean,
        }


def options_of(parsed: Namespace) -> Options:
    """Returns the options of a command line."""
    return Options(
        target=Target(
            url=parsed.url,
            model=parsed.model,
            voice=parsed.voice,
            timeout_sec=parsed.timeout_sec,
        ),
        minutes=parsed.soak,
        num_users=parsed.users,
        mix=Mix(
            seed=parsed.seed,
            model=parsed.model,
            voice=parsed.voice,
            max_input_chars=parsed.max_input_chars,
        ),
        is_leak_checked=not parsed.no_leak_check,
    )


def run(parsed: Namespace, *, timing: Timing = Timing()) -> int:  # noqa: B008 - frozen
    """Measures and prints; 1 for a failure, a leak or an unreachable server, 2 without metrics."""
    options = options_of(parsed)
    try:
        outcome = asyncio.run(_measure(options, parsed.api_key, timing))
    except Unreachable as error:
        _print_status(str(error))
        return 1
    except MetricsUnavailable as error:
        _print_status(f"{error}: leaks cannot be checked; set --no-leak-check to skip the check.")
        return 2
    except KeyboardInterrupt:
        _print_status("stopped")
        return 130
    document: Mapping[str, object] = outcome.document(options)
    print(report.card_text(outcome.card, outcome.server))
    print(f"users: {outcome.num_users}")
    print(soak_report.soak_table(outcome.minutes))
    print(soak_report.totals_text(outcome.totals))
    for failure, count in outcome.warm_up.failures.items():
        print(f"  {count} x {failure} (warm-up)")
    print(soak_report.verdict_text(outcome.verdict))
    line = report.json_line(document)
    if parsed.json is not None:
        parsed.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0 if outcome.is_clean else 1


async def _measure(options: Options, api_key: str | None, timing: Timing) -> SoakOutcome:
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    target = options.target
    async with SpeechClient(target, api_key=api_key) as client:
        facts = await client.facts()
    # One thread is enough for the checks and leaves the other cores to the server.
    pool = WorkerPool(1)
    try:
        async with HttpCaller(
            target.root_url, api_key=api_key, timeout_sec=target.timeout_sec
        ) as caller:
            now = await _first_metrics(caller, is_needed=options.is_leak_checked)
            num_users = options.num_users or (now and now.num_streams_capacity) or _DEFAULT_USERS
            user = SoakUser(caller, options.mix, pool=pool, timeout_sec=target.timeout_sec)
            run = SoakRun(
                caller, user.perform, num_users=num_users, timing=timing, on_minute=_print_minute
            )
            warm_up_min = min(_MOST_WARM_UP_MIN, _WARM_UP_SHARE * options.minutes)
            warm_up = await run.load(duration_sec=warm_up_min * timing.minute_sec, first_index=0)
            baseline = await run.settle() if options.is_leak_checked else None
            _print_status("warm-up done")
            soaked = await run.load(
                duration_sec=options.minutes * timing.minute_sec, first_index=_FIRST_INDEX
            )
            verdict = None
            if baseline is not None:
                verdict = await _verdict(run, soaked, baseline, options.minutes)
    finally:
        await pool.close()
    return SoakOutcome(
        started_at=started_at,
        card=read_card(),
        server=facts,
        num_users=num_users,
        warm_up=soak_totals(warm_up.results),
        minutes=soaked.minutes,
        totals=soak_totals(soaked.results),
        baseline=baseline,
        verdict=verdict,
    )


async def _first_metrics(caller: HttpCaller, *, is_needed: bool) -> ServerMetrics | None:
    if is_needed:
        return await read_metrics(caller)
    with suppress(MetricsUnavailable):
        return await read_metrics(caller)
    return None


async def _verdict(
    run: SoakRun, soaked: Soaked, baseline: ServerMetrics, minutes: float
) -> Verdict:
    try:
        end = await run.settle(baseline)
    except MetricsUnavailable as error:
        return unjudged(str(error))
    return judge_leaks(baseline, end, soaked.memory, duration_min=minutes)


def _print_minute(minute: MinuteStats) -> None:
    cells = soak_report.minute_cells(minute)
    names = [name for name, _ in soak_report.COLUMNS]
    _print_status(", ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True)))


def _print_status(line: str) -> None:
    print(f"orpheus-server bench: {line}", file=sys.stderr, flush=True)

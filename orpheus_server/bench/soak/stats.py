"""Statistics of a soak: per minute, and in total."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.bench.client.server_metrics import ServerMetrics
from orpheus_server.bench.report import Percentiles, percentiles
from orpheus_server.bench.soak.mix import KINDS
from orpheus_server.bench.soak.result import OUTCOMES, SoakResult


@dataclass(frozen=True, slots=True)
class MinuteStats:
    """The requests that ended in one minute, and the server's metrics at its end."""

    number: int
    num_requests: int
    outcomes: dict[str, int]
    first_audio_sec: Percentiles | None
    num_players: int
    """Number of complete streams of kind `pcm`; slow readers are not counted."""

    num_underrun_streams: int
    health_sec: Percentiles | None
    metrics: ServerMetrics | None
    """None if the metrics could not be read."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Percentiles and maximum of the times of complete responses."""

    percentiles: Percentiles
    largest: float


@dataclass(frozen=True, slots=True)
class SoakTotals:
    """The statistics of all minutes."""

    num_requests: int
    outcomes: dict[str, int]
    kinds: dict[str, dict[str, int]]
    """Outcomes by kind of request."""

    failures: dict[str, int]
    first_audio_sec: Tail | None
    total_sec: Tail | None
    """Seconds from the request to the end of a complete response."""

    num_players: int
    num_underrun_streams: int


def minute_stats(
    number: int,
    results: Sequence[SoakResult],
    *,
    health_sec: Sequence[float],
    metrics: ServerMetrics | None,
) -> MinuteStats:
    """Returns the statistics of minute `number`, counted from 1."""
    return MinuteStats(
        number=number,
        num_requests=len(results),
        outcomes=_outcomes(results),
        first_audio_sec=percentiles(_first_audio_sec(results)),
        num_players=_num_players(results),
        num_underrun_streams=_num_underrun_streams(results),
        health_sec=percentiles(health_sec),
        metrics=metrics,
    )


def soak_totals(results: Sequence[SoakResult]) -> SoakTotals:
    """Returns the statistics of all minutes."""
    failures = Counter(f"{each.kind}: {each.failure}" for each in results if each.failure)
    by_kind = {kind: [each for each in results if each.kind == kind] for kind in KINDS}
    return SoakTotals(
        num_requests=len(results),
        outcomes=_outcomes(results),
        kinds={kind: _outcomes(found) for kind, found in by_kind.items() if found},
        failures=dict(sorted(failures.items())),
        first_audio_sec=_tail(_first_audio_sec(results)),
        total_sec=_tail([each.total_sec for each in results if each.outcome == "ok"]),
        num_players=_num_players(results),
        num_underrun_streams=_num_underrun_streams(results),
    )


def _outcomes(results: Sequence[SoakResult]) -> dict[str, int]:
    counts = Counter(each.outcome for each in results)
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _first_audio_sec(results: Sequence[SoakResult]) -> list[float]:
    return [each.first_audio_sec for each in results if each.first_audio_sec is not None]


def _num_players(results: Sequence[SoakResult]) -> int:
    return sum(each.num_underruns is not None for each in results)


def _num_underrun_streams(results: Sequence[SoakResult]) -> int:
    return sum(bool(each.num_underruns) for each in results)


def _tail(values: Sequence[float]) -> Tail | None:
    found = percentiles(values)
    return None if found is None else Tail(found, max(values))

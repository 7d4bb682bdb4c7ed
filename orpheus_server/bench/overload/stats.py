"""The statistics for each number of users, and their table."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.player import BYTES_PER_SEC, play
from orpheus_server.bench.report import Percentiles, milliseconds, percentiles, text_table
from orpheus_server.bench.soak.result import SoakResult

QUEUE_HEADER = "x-orpheus-queue-ms"
"""Response header: milliseconds that the request waited in the queue."""

_COLUMNS = (
    ("users", 5),
    ("served", 6),
    ("refused", 7),
    ("failed", 6),
    ("first audio ms", 17),
    ("queue ms", 17),
    ("from admission ms", 17),
    ("underrun", 8),
    ("stalls", 6),
    ("stalled ms", 10),
    ("audio s/s", 9),
    ("health ms", 9),
)
_EXPLAINED = (
    "p50/p95/p99 of streams that started after all users had arrived; from admission: first audio "
    "without the queue, if the server reports it; underrun: streams; health: p99."
)


@dataclass(frozen=True, slots=True)
class Listened:
    """One request of a user, and its result."""

    exchange: Exchange
    result: SoakResult


@dataclass(frozen=True, slots=True)
class OverloadStats:
    """The requests that started in a window; first-audio, queue and stall times are of complete
    streams.
    """

    num_users: int
    num_served: int
    num_refused: int
    num_failed: int
    failures: dict[str, int]
    first_audio_sec: Percentiles | None
    queue_sec: Percentiles | None
    """None if the server does not report it; then `from_admission_sec` is None as well."""

    from_admission_sec: Percentiles | None
    num_underrun_streams: int
    num_stalls: int
    stalled_sec: float
    audio_sec_per_sec: float
    """Counts all audio that arrived in the window, whenever it was requested."""

    health_sec: Percentiles | None


def overload_stats(
    listened: Sequence[Listened],
    *,
    num_users: int,
    window: tuple[float, float],
    health_sec: Sequence[float],
) -> OverloadStats:
    """Returns the statistics of a window; its start and end are seconds on the run's clock."""
    begin_sec, end_sec = window
    found = [each for each in listened if begin_sec <= each.exchange.started_sec < end_sec]
    served = [each for each in found if each.result.outcome == "ok"]
    failures = Counter(each.result.failure for each in found if each.result.failure is not None)
    stalls = [play(each.exchange.pieces).stalls_sec for each in served]
    first_audio_sec = [each.exchange.pieces[0].at_sec for each in served]
    queued = [
        (first_sec, queue_sec)
        for each, first_sec in zip(served, first_audio_sec, strict=True)
        if (queue_sec := queue_sec_of(each.exchange.headers)) is not None
    ]
    return OverloadStats(
        num_users=num_users,
        num_served=len(served),
        num_refused=sum(each.result.outcome == "refused" for each in found),
        num_failed=failures.total(),
        failures=dict(sorted(failures.items())),
        first_audio_sec=percentiles(first_audio_sec),
        queue_sec=percentiles([queue_sec for _, queue_sec in queued]),
        from_admission_sec=percentiles([first_sec - queue_sec for first_sec, queue_sec in queued]),
        num_underrun_streams=sum(bool(each) for each in stalls),
        num_stalls=sum(len(each) for each in stalls),
        stalled_sec=math.fsum(stall_sec for each in stalls for stall_sec in each),
        audio_sec_per_sec=_audio_sec(listened, window) / (end_sec - begin_sec),
        health_sec=percentiles(health_sec),
    )


def queue_sec_of(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds in the queue, or None if the header is missing or invalid."""
    text = headers.get(QUEUE_HEADER, "")
    try:
        milliseconds_ = float(text)
    except ValueError:
        return None
    return milliseconds_ / 1000 if 0 <= milliseconds_ < math.inf else None


def overload_table(rounds: Sequence[OverloadStats]) -> str:
    """Returns the table with one line per number of users."""
    return f"{text_table(_COLUMNS, [_cells(each) for each in rounds])}\n{_EXPLAINED}"


def _cells(stats: OverloadStats) -> list[str]:
    return [
        str(stats.num_users),
        str(stats.num_served),
        str(stats.num_refused),
        str(stats.num_failed),
        milliseconds(stats.first_audio_sec),
        milliseconds(stats.queue_sec),
        milliseconds(stats.from_admission_sec),
        str(stats.num_underrun_streams),
        str(stats.num_stalls),
        f"{stats.stalled_sec * 1000:.0f}",
        f"{stats.audio_sec_per_sec:.1f}",
        "-" if stats.health_sec is None else f"{stats.health_sec.p99 * 1000:.0f}",
    ]


def _audio_sec(listened: Sequence[Listened], window: tuple[float, float]) -> float:
    begin_sec, end_sec = window
    num_bytes = sum(
        piece.num_bytes
        for each in listened
        if each.exchange.status == 200
        for piece in each.exchange.pieces
        if begin_sec <= each.exchange.started_sec + piece.at_sec < end_sec
    )
    return num_bytes / BYTES_PER_SEC

"""Statistics of one level of load, and their medians over rounds."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from orpheus_server.bench.client.request_result import Heard, RequestResult
from orpheus_server.bench.report import Percentiles, percentiles
from orpheus_server.bench.speech.open_loop import largest_send_delay_sec


@dataclass(frozen=True, slots=True)
class LevelStats:
    """Statistics of one level: of one round, or medians over rounds.

    Times, stalls and gaps are of complete responses only.
    """

    num_requests: int
    num_failed: int
    failures: dict[str, int]
    wall_sec: float
    """Seconds from sending the first request to the end of the last response."""

    audio_sec: float
    audio_sec_per_sec: float
    first_audio_sec: Percentiles | None
    audible_sec: Percentiles | None
    total_sec: Percentiles | None
    real_time_factor: Percentiles | None
    num_underruns: int
    stalled_sec: float
    """Sum over all responses."""

    share_without_underrun: float
    """Share of all requests; a failed request counts as having an underrun."""

    c50: float
    """Share of all requests that are complete and never stall for longer than 50 ms."""

    c100: float
    c200: float
    largest_stall_sec: float
    largest_gap_sec: float
    largest_send_delay_sec: float | None
    """How late a request of an open loop was sent at most; None for a closed loop."""


def level_stats(
    results: Sequence[RequestResult], *, arrivals_sec: Sequence[float] | None = None
) -> LevelStats:
    """Returns the statistics of one round; `results` must not be empty.

    `arrivals_sec` is when each request of an open loop was due, in seconds since the first.
    """
    whole = [(result, result.heard) for result in results if result.heard is not None]
    heard = [each for _, each in whole]
    failures = Counter(result.failure for result in results if result.failure is not None)
    wall_sec = wall_sec_of(results)
    audio_sec = sum(each.audio_sec for each in heard)
    return LevelStats(
        num_requests=len(results),
        num_failed=failures.total(),
        failures=dict(sorted(failures.items())),
        wall_sec=wall_sec,
        audio_sec=audio_sec,
        audio_sec_per_sec=audio_sec / wall_sec,
        first_audio_sec=percentiles([each.first_audio_sec for each in heard]),
        audible_sec=percentiles([each.audible_sec for each in heard]),
        total_sec=percentiles([result.total_sec for result, _ in whole]),
        real_time_factor=percentiles([each.real_time_factor for each in heard]),
        num_underruns=sum(each.num_underruns for each in heard),
        stalled_sec=math.fsum(each.stalled_sec for each in heard),
        share_without_underrun=_share(results, lambda each: each.num_underruns == 0),
        c50=continuity(results, stall_ms=50),
        c100=continuity(results, stall_ms=100),
        c200=continuity(results, stall_ms=200),
        largest_stall_sec=max((each.largest_stall_sec for each in heard), default=0.0),
        largest_gap_sec=max((each.largest_gap_sec for each in heard), default=0.0),
        largest_send_delay_sec=(
            None if arrivals_sec is None else largest_send_delay_sec(results, arrivals_sec)
        ),
    )


def continuity(results: Sequence[RequestResult], *, stall_ms: int) -> float:
    """Returns the share of requests that are complete and never stall for longer than this."""
    return _share(results, lambda each: each.largest_stall_sec <= stall_ms / 1000)


def wall_sec_of(results: Sequence[RequestResult]) -> float:
    """Seconds from sending the first request to the end of the last response."""
    ended_sec = max(result.started_sec + result.total_sec for result in results)
    return ended_sec - min(result.started_sec for result in results)


def over_rounds(rounds: Sequence[LevelStats]) -> LevelStats:
    """Medians of the rounds, but sums of counts, and the largest stall, gap and delay."""

    def middle(value: Callable[[LevelStats], float]) -> float:
        return median(value(each) for each in rounds)

    delays_sec = [
        each.largest_send_delay_sec for each in rounds if each.largest_send_delay_sec is not None
    ]
    return LevelStats(
        num_requests=sum(each.num_requests for each in rounds),
        num_failed=sum(each.num_failed for each in rounds),
        failures=dict(sorted(sum((Counter(each.failures) for each in rounds), Counter()).items())),
        wall_sec=middle(lambda each: each.wall_sec),
        audio_sec=middle(lambda each: each.audio_sec),
        audio_sec_per_sec=middle(lambda each: each.audio_sec_per_sec),
        first_audio_sec=_middle_percentiles([each.first_audio_sec for each in rounds]),
        audible_sec=_middle_percentiles([each.audible_sec for each in rounds]),
        total_sec=_middle_percentiles([each.total_sec for each in rounds]),
        real_time_factor=_middle_percentiles([each.real_time_factor for each in rounds]),
        num_underruns=sum(each.num_underruns for each in rounds),
        stalled_sec=middle(lambda each: each.stalled_sec),
        share_without_underrun=middle(lambda each: each.share_without_underrun),
        c50=middle(lambda each: each.c50),
        c100=middle(lambda each: each.c100),
        c200=middle(lambda each: each.c200),
        largest_stall_sec=max(each.largest_stall_sec for each in rounds),
        largest_gap_sec=max(each.largest_gap_sec for each in rounds),
        largest_send_delay_sec=max(delays_sec, default=None),
    )


def _share(results: Sequence[RequestResult], is_good: Callable[[Heard], bool]) -> float:
    num_good = sum(result.heard is not None and is_good(result.heard) for result in results)
    return num_good / len(results)


def _middle_percentiles(rounds: Sequence[Percentiles | None]) -> Percentiles | None:
    """Medians over the rounds that have values; a round in which all requests failed has none."""
    found = [each for each in rounds if each is not None]
    if not found:
        return None
    return Percentiles(
        p50=median(each.p50 for each in found),
        p95=median(each.p95 for each in found),
        p99=median(each.p99 for each in found),
    )

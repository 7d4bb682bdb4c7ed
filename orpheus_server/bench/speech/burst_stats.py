"""Statistics of bursts: several users who send requests at the same instant."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_server.bench.client.request_result import RequestResult
from orpheus_server.bench.speech.level_stats import continuity, wall_sec_of


@dataclass(frozen=True, slots=True)
class MeanAndP95:
    """Mean and p95; the p95 is interpolated linearly between the two nearest values."""

    mean: float
    p95: float


@dataclass(frozen=True, slots=True)
class BurstStats:
    """All bursts together; times are of complete responses only."""

    num_requests: int
    num_failed: int
    failures: dict[str, int]
    requests_per_sec: float
    """Complete responses over the duration of the bursts, without the pauses between them."""

    total_sec: MeanAndP95 | None
    first_audio_sec: MeanAndP95 | None
    audible_sec: MeanAndP95 | None
    audio_sec_per_sec: float
    share_without_underrun: float
    c50: float
    """Share of all requests that are complete and never stall for longer than 50 ms."""

    c100: float
    c200: float


def burst_stats(bursts: Sequence[Sequence[RequestResult]]) -> BurstStats:
    """The statistics of one or more bursts, each of one or more requests."""
    results = [result for burst in bursts for result in burst]
    whole = [(result, result.heard) for result in results if result.heard is not None]
    failures = Counter(result.failure for result in results if result.failure is not None)
    wall_sec = sum(wall_sec_of(burst) for burst in bursts)
    num_clean = sum(heard.num_underruns == 0 for _, heard in whole)
    return BurstStats(
        num_requests=len(results),
        num_failed=failures.total(),
        failures=dict(sorted(failures.items())),
        requests_per_sec=len(whole) / wall_sec,
        total_sec=_mean_and_p95([result.total_sec for result, _ in whole]),
        first_audio_sec=_mean_and_p95([heard.first_audio_sec for _, heard in whole]),
        audible_sec=_mean_and_p95([heard.audible_sec for _, heard in whole]),
        audio_sec_per_sec=sum(heard.audio_sec for _, heard in whole) / wall_sec,
        share_without_underrun=num_clean / len(results),
        c50=continuity(results, stall_ms=50),
        c100=continuity(results, stall_ms=100),
        c200=continuity(results, stall_ms=200),
    )


def _mean_and_p95(values: Sequence[float]) -> MeanAndP95 | None:
    if not values:
        return None
    p95 = np.percentile(values, 95, method="linear")
    return MeanAndP95(float(np.mean(values)), float(p95))

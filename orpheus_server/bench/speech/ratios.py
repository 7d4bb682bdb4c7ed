"""The figures of a peer divided by those of the own server, under the same load."""

from dataclasses import dataclass

from orpheus_server.bench.report import Percentiles
from orpheus_server.bench.speech.burst_stats import BurstStats, MeanAndP95
from orpheus_server.bench.speech.level_stats import LevelStats


@dataclass(frozen=True, slots=True)
class LevelRatios:
    """Ratios peer/own of the summary of one level, without a unit; names as in `LevelStats`.

    None where a figure is missing or where that of the own server is 0.
    """

    first_audio_sec: Percentiles | None
    audible_sec: Percentiles | None
    total_sec: Percentiles | None
    real_time_factor: Percentiles | None
    audio_sec_per_sec: float | None
    share_without_underrun: float | None
    c50: float | None
    c100: float | None
    c200: float | None
    largest_stall_sec: float | None
    largest_gap_sec: float | None
    share_failed: float | None


@dataclass(frozen=True, slots=True)
class BurstRatios:
    """Ratios peer/own of all bursts, without a unit; names as in `BurstStats`.

    None where a figure is missing or where that of the own server is 0.
    """

    requests_per_sec: float | None
    total_sec: MeanAndP95 | None
    first_audio_sec: MeanAndP95 | None
    audible_sec: MeanAndP95 | None
    audio_sec_per_sec: float | None
    share_without_underrun: float | None
    c50: float | None
    c100: float | None
    c200: float | None
    share_failed: float | None


def level_ratios(peer: LevelStats, *, own: LevelStats) -> LevelRatios:
    """The ratios of one level; both have seen the same load."""
    return LevelRatios(
        first_audio_sec=_of_percentiles(peer.first_audio_sec, own.first_audio_sec),
        audible_sec=_of_percentiles(peer.audible_sec, own.audible_sec),
        total_sec=_of_percentiles(peer.total_sec, own.total_sec),
        real_time_factor=_of_percentiles(peer.real_time_factor, own.real_time_factor),
        audio_sec_per_sec=_ratio(peer.audio_sec_per_sec, own.audio_sec_per_sec),
        share_without_underrun=_ratio(peer.share_without_underrun, own.share_without_underrun),
        c50=_ratio(peer.c50, own.c50),
        c100=_ratio(peer.c100, own.c100),
        c200=_ratio(peer.c200, own.c200),
        largest_stall_sec=_ratio(peer.largest_stall_sec, own.largest_stall_sec),
        largest_gap_sec=_ratio(peer.largest_gap_sec, own.largest_gap_sec),
        share_failed=_ratio(_share_failed(peer), _share_failed(own)),
    )


def burst_ratios(peer: BurstStats, *, own: BurstStats) -> BurstRatios:
    """The ratios of all bursts; both have seen the same ones."""
    return BurstRatios(
        requests_per_sec=_ratio(peer.requests_per_sec, own.requests_per_sec),
        total_sec=_of_mean_and_p95(peer.total_sec, own.total_sec),
        first_audio_sec=_of_mean_and_p95(peer.first_audio_sec, own.first_audio_sec),
        audible_sec=_of_mean_and_p95(peer.audible_sec, own.audible_sec),
        audio_sec_per_sec=_ratio(peer.audio_sec_per_sec, own.audio_sec_per_sec),
        share_without_underrun=_ratio(peer.share_without_underrun, own.share_without_underrun),
        c50=_ratio(peer.c50, own.c50),
        c100=_ratio(peer.c100, own.c100),
        c200=_ratio(peer.c200, own.c200),
        share_failed=_ratio(_share_failed(peer), _share_failed(own)),
    )


def _ratio(peer: float, own: float) -> float | None:
    return peer / own if own else None


def _of_percentiles(peer: Percentiles | None, own: Percentiles | None) -> Percentiles | None:
    # p50 is the smallest of the three.
    if peer is None or own is None or not own.p50:
        return None
    return Percentiles(peer.p50 / own.p50, peer.p95 / own.p95, peer.p99 / own.p99)


def _of_mean_and_p95(peer: MeanAndP95 | None, own: MeanAndP95 | None) -> MeanAndP95 | None:
    if peer is None or own is None or not own.mean or not own.p95:
        return None
    return MeanAndP95(peer.mean / own.mean, peer.p95 / own.p95)


def _share_failed(stats: LevelStats | BurstStats) -> float:
    return stats.num_failed / stats.num_requests

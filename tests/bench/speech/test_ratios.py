"""Ratios of two servers, with exact values."""

from dataclasses import asdict

from orpheus_server.bench.report import Percentiles
from orpheus_server.bench.speech.burst_stats import MeanAndP95, burst_stats
from orpheus_server.bench.speech.ratios import burst_ratios, level_ratios
from tests.bench.results import failed, one_round, spoken


class TestLevelRatios:
    def test_the_peer_is_divided_by_own(self) -> None:
        own = one_round(spoken(0.25, stalls_sec=[0.25]), spoken(0.25), failed("503"), spoken(0.25))
        slow = spoken(0.5, stalls_sec=[0.125])
        peer = one_round(slow, slow, failed("503"), failed("503"))
        assert asdict(level_ratios(peer, own=own)) == {
            "first_audio_sec": {"p50": 2.0, "p95": 2.0, "p99": 2.0},
            "audible_sec": asdict(Percentiles(*[0.625 / 0.375] * 3)),
            "total_sec": {"p50": 1.0, "p95": 1.0, "p99": 1.0},
            "real_time_factor": {"p50": 1.0, "p95": 1.0, "p99": 1.0},
            "audio_sec_per_sec": 8.0 / 12.0,
            "share_without_underrun": 0.0,
            "c50": 0.0,
            "c100": 0.0,
            "c200": 1.0,
            "largest_stall_sec": 0.5,
            "largest_gap_sec": 1.0,
            "share_failed": 2.0,
        }

    def test_the_same_figures(self) -> None:
        """Shares of own that are 0 have no ratio, even if those of the peer are 0 too."""
        ratios = level_ratios(one_round(), own=one_round())
        assert ratios.first_audio_sec == Percentiles(1.0, 1.0, 1.0)
        assert ratios.c50 == ratios.audio_sec_per_sec == 1.0
        assert ratios.largest_stall_sec is ratios.share_failed is None

    def test_each_percentile_has_its_own_ratio(self) -> None:
        own = one_round(spoken(0.25), spoken(0.75))
        peer = one_round(spoken(0.5), spoken(0.5))
        assert own.first_audio_sec is not None
        assert level_ratios(peer, own=own).first_audio_sec == Percentiles(
            1.0, 0.5 / own.first_audio_sec.p95, 0.5 / own.first_audio_sec.p99
        )

    def test_a_server_that_only_fails_has_no_times(self) -> None:
        nothing = one_round(failed("503"))
        for ratios in (
            level_ratios(nothing, own=one_round()),
            level_ratios(one_round(), own=nothing),
        ):
            assert ratios.first_audio_sec is ratios.real_time_factor is None
        assert level_ratios(nothing, own=one_round()).c200 == 0.0
        assert level_ratios(one_round(), own=nothing).c200 is None

    def test_an_immediate_first_byte_has_no_ratio(self) -> None:
        ratios = level_ratios(one_round(), own=one_round(spoken(0.0)))
        assert ratios.first_audio_sec is None
        assert ratios.audible_sec == Percentiles(3.0, 3.0, 3.0)


class TestBurstRatios:
    def test_the_peer_is_divided_by_own(self) -> None:
        own = burst_stats([[spoken(0.25), spoken(0.25)]])
        peer = burst_stats([[spoken(0.75), failed("503")]])
        assert asdict(burst_ratios(peer, own=own)) == {
            "requests_per_sec": 0.5,
            "total_sec": {"mean": 1.0, "p95": 1.0},
            "first_audio_sec": {"mean": 3.0, "p95": 3.0},
            "audible_sec": asdict(MeanAndP95(0.875 / 0.375, 0.875 / 0.375)),
            "audio_sec_per_sec": 0.5,
            "share_without_underrun": 0.5,
            "c50": 0.5,
            "c100": 0.5,
            "c200": 0.5,
            "share_failed": None,
        }

    def test_only_failures(self) -> None:
        ratios = burst_ratios(burst_stats([[failed("503")]]), own=burst_stats([[spoken()]]))
        assert ratios.total_sec is ratios.first_audio_sec is None
        assert ratios.requests_per_sec == 0.0

"""Statistics of levels and rounds, with exact values."""

import pytest

from orpheus_server.bench.report import Percentiles, percentiles
from orpheus_server.bench.speech.level_stats import level_stats, over_rounds, wall_sec_of
from tests.bench.results import failed, one_round, spoken


class TestPercentiles:
    def test_linear_interpolation(self) -> None:
        found = percentiles([3.0, 1.0, 2.0, 4.0, 5.0])
        assert found is not None
        assert (found.p50, found.p95, found.p99) == pytest.approx((3.0, 4.8, 4.96))

    def test_one_value(self) -> None:
        assert percentiles([0.25]) == Percentiles(0.25, 0.25, 0.25)

    def test_no_values(self) -> None:
        assert percentiles([]) is None


class TestLevelStats:
    def test_complete_answers(self) -> None:
        stats = level_stats(
            [
                spoken(0.25, started_sec=5.0),
                spoken(0.5, started_sec=5.0, stalls_sec=[0.0625]),
                spoken(0.75, started_sec=7.0, stalls_sec=[0.125, 0.25]),
                spoken(1.0, started_sec=7.0),
            ]
        )
        assert (stats.num_requests, stats.num_failed, stats.failures) == (4, 0, {})
        assert (stats.wall_sec, stats.audio_sec, stats.audio_sec_per_sec) == (4.0, 16.0, 4.0)
        assert stats.first_audio_sec is not None
        assert stats.first_audio_sec.p50 == 0.625
        assert stats.audible_sec is not None
        assert stats.audible_sec.p50 == 0.75
        assert stats.total_sec == Percentiles(2.0, 2.0, 2.0)
        assert stats.real_time_factor == Percentiles(0.5, 0.5, 0.5)
        assert (stats.num_underruns, stats.stalled_sec) == (3, 0.4375)
        assert (stats.share_without_underrun, stats.c100) == (0.5, 0.75)
        assert (stats.largest_stall_sec, stats.largest_gap_sec) == (0.25, 0.5)

    def test_failures_lower_the_share_and_have_no_times(self) -> None:
        stats = level_stats([spoken(0.25), failed("timeout"), failed("503"), failed("503")])
        assert (stats.num_requests, stats.num_failed) == (4, 3)
        assert stats.failures == {"503": 2, "timeout": 1}
        assert stats.first_audio_sec == Percentiles(0.25, 0.25, 0.25)
        assert (stats.share_without_underrun, stats.audio_sec) == (0.25, 4.0)

    def test_continuity(self) -> None:
        """The longest stall of a stream counts, not the sum; a failed request is not continuous."""
        stalls = [[], [0.05, 0.05], [0.0625], [0.1, 0.1], [0.125], [0.2], [0.25]]
        results = [spoken(stalls_sec=each) for each in stalls]
        stats = level_stats([*results, failed("503")])
        assert (stats.c50, stats.c100, stats.c200) == (0.25, 0.5, 0.75)
        assert stats.share_without_underrun == 0.125

    def test_only_failures(self) -> None:
        stats = level_stats([failed("timeout")])
        assert stats.first_audio_sec is stats.real_time_factor is None
        assert (stats.audio_sec_per_sec, stats.share_without_underrun) == (0.0, 0.0)
        assert stats.c200 == 0.0
        assert (stats.largest_stall_sec, stats.largest_gap_sec) == (0.0, 0.0)

    def test_wall_time_ends_with_the_last_answer(self) -> None:
        """The request that was sent last may end first."""
        assert wall_sec_of([spoken(started_sec=1.0), failed("503", started_sec=1.25)]) == 2.0


def test_the_delay_of_an_open_loop() -> None:
    results = [spoken(started_sec=1.0), spoken(started_sec=2.5)]
    late = level_stats(results, arrivals_sec=(0.0, 1.25))
    later = level_stats(results, arrivals_sec=(0.0, 1.0))
    assert (late.largest_send_delay_sec, later.largest_send_delay_sec) == (0.25, 0.5)
    assert over_rounds([late, later, late]).largest_send_delay_sec == 0.5
    assert over_rounds([one_round()]).largest_send_delay_sec is None


class TestOverRounds:
    def test_medians_sums_and_maxima(self) -> None:
        rounds = [
            one_round(spoken(0.25)),
            one_round(spoken(1.0, stalls_sec=[0.5]), failed("503")),
            one_round(spoken(0.5), failed("503"), failed("timeout"), failed("timeout")),
        ]
        stats = over_rounds(rounds)
        assert stats.first_audio_sec == Percentiles(0.5, 0.5, 0.5)
        assert (stats.num_requests, stats.num_failed) == (7, 4)
        assert stats.failures == {"503": 2, "timeout": 2}
        assert (stats.share_without_underrun, stats.c50, stats.c200) == (0.25, 0.25, 0.25)
        assert (stats.num_underruns, stats.largest_stall_sec, stats.stalled_sec) == (1, 0.5, 0.0)

    def test_rounds_without_an_answer_have_no_times(self) -> None:
        nothing = one_round(failed("503"))
        assert over_rounds([nothing, one_round()]).first_audio_sec == Percentiles(0.25, 0.25, 0.25)
        assert over_rounds([nothing]).first_audio_sec is None

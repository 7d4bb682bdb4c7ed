"""Statistics of bursts, with exact values."""

from orpheus_server.bench.speech.burst_stats import MeanAndP95, burst_stats
from tests.bench.results import failed, spoken


def test_pauses_between_bursts_do_not_count() -> None:
    stats = burst_stats([[spoken(0.25), spoken(0.75)], [spoken(0.25, started_sec=100.0)] * 2])
    assert (stats.num_requests, stats.num_failed) == (4, 0)
    assert (stats.requests_per_sec, stats.audio_sec_per_sec) == (1.0, 4.0)
    assert stats.total_sec == MeanAndP95(2.0, 2.0)
    assert stats.first_audio_sec is not None
    assert stats.first_audio_sec.mean == 0.375
    assert stats.audible_sec is not None
    assert stats.audible_sec.mean == 0.5
    assert stats.share_without_underrun == 1.0


def test_failures_do_not_count_as_answers() -> None:
    results = [spoken(), failed("503"), failed("503"), spoken(stalls_sec=[0.0625])]
    stats = burst_stats([results])
    assert (stats.num_failed, stats.failures) == (2, {"503": 2})
    assert (stats.requests_per_sec, stats.share_without_underrun) == (1.0, 0.25)
    assert (stats.c50, stats.c100, stats.c200) == (0.25, 0.5, 0.5)


def test_only_failures() -> None:
    stats = burst_stats([[failed("503")]])
    assert stats.total_sec is stats.first_audio_sec is stats.audible_sec is None
    assert stats.requests_per_sec == 0.0

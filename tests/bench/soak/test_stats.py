"""The statistics of a soak and their text."""

from orpheus_server.bench.report import Percentiles
from orpheus_server.bench.soak.leaks import Verdict
from orpheus_server.bench.soak.report import minute_cells, soak_table, totals_text, verdict_text
from orpheus_server.bench.soak.result import SoakResult
from orpheus_server.bench.soak.stats import MinuteStats, SoakTotals, Tail, minute_stats, soak_totals
from tests.bench.builders import metrics, soak_result

RESULTS = [
    soak_result(first_audio_sec=0.25),
    soak_result(first_audio_sec=0.75, num_underruns=3, total_sec=4.0),
    soak_result("mp3", first_audio_sec=0.5, num_underruns=None),
    SoakResult("pcm", "refused", 0.5, None, retry_after_sec=5),
    SoakResult("cut", "cut", 0.5, None),
    SoakResult("bad input", "bad input", 0.5, None),
    SoakResult("pcm", "failed", 9.0, "timeout"),
    SoakResult("pcm", "failed", 9.0, "timeout"),
    SoakResult("socket", "failed", 9.0, "timeout"),
]
OUTCOMES = {"ok": 3, "refused": 1, "cut": 1, "bad input": 1, "failed": 3}


def minute() -> MinuteStats:
    now = metrics(files=31, threads=9, tasks=22, resident_bytes=676_543_210)
    return minute_stats(3, RESULTS, health_sec=[0.002, 0.004], metrics=now)


def test_a_minute() -> None:
    found = minute()
    assert (found.number, found.num_requests, found.outcomes) == (3, 9, OUTCOMES)
    assert found.first_audio_sec == Percentiles(0.5, 0.725, 0.745)
    assert (found.num_players, found.num_underrun_streams) == (2, 1)


def test_the_cells_of_a_minute() -> None:
    assert minute_cells(minute()) == [
        *("3", "9", "3", "1", "1", "1", "3", "500/725/745", "1/2", "4", "676.5", "31", "9", "22")
    ]


def test_an_empty_minute() -> None:
    found = minute_stats(1, [], health_sec=[], metrics=None)
    assert minute_cells(found) == [
        *("1", "0", "0", "0", "0", "0", "0", "-", "0/0", "-", "-", "-", "-", "-")
    ]


def test_the_table() -> None:
    lines = soak_table([minute()]).splitlines()
    assert lines[0].startswith("minute  requests      ok  refused     cut  bad input  failed ")
    assert lines[0].endswith(
        "first audio ms   underrun  health ms    RSS MB    fds  threads  tasks"
    )
    assert len(lines[0]) == len(lines[1])
    assert len(lines) == 3


def test_totals() -> None:
    totals = soak_totals(RESULTS)
    assert (totals.num_requests, totals.outcomes) == (9, OUTCOMES)
    assert list(totals.kinds) == ["pcm", "mp3", "socket", "cut", "bad input"]
    assert totals.kinds["pcm"] == {"ok": 2, "refused": 1, "cut": 0, "bad input": 0, "failed": 2}
    assert totals.failures == {"pcm: timeout": 2, "socket: timeout": 1}
    assert totals.first_audio_sec == Tail(Percentiles(0.5, 0.725, 0.745), 0.75)
    assert totals.total_sec == Tail(Percentiles(2.0, 3.8, 3.96), 4.0)
    assert totals_text(totals).splitlines() == [
        "9 requests: 3 ok, 1 refused, 1 cut, 1 bad input, 3 failed",
        "  pcm: 2 ok, 1 refused, 2 failed",
        "  mp3: 1 ok",
        "  socket: 1 failed",
        "  cut: 1 cut",
        "  bad input: 1 bad input",
        "streams with an underrun: 1/2",
        "first audio: p50/p95/p99 500/725/745 ms, largest 750 ms",
        "whole answers: p50/p95/p99 2000/3800/3960 ms, largest 4000 ms",
        "  2 x pcm: timeout",
        "  1 x socket: timeout",
    ]


def test_the_totals_of_no_requests() -> None:
    totals = soak_totals([])
    assert totals == SoakTotals(0, dict.fromkeys(OUTCOMES, 0), {}, {}, None, None, 0, 0)
    assert totals_text(totals) == "0 requests: none\nstreams with an underrun: 0/0"


def test_verdicts() -> None:
    assert verdict_text(None) == "leaks: not checked"
    assert verdict_text(Verdict((), ("a note",), None, 0.01, 0)).splitlines() == [
        "note: a note",
        "memory: +1.0% over the baseline",
        "no leaks",
    ]
    assert verdict_text(Verdict(("3 tasks",), (), -0.5, 0.0, 0)).splitlines() == [
        "LEAK: 3 tasks",
        "memory: +0.0% over the baseline, -0.50 MB a minute under load",
    ]

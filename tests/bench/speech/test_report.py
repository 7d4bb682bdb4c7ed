"""The exact output of the speech benchmark."""

import json

from orpheus_server.bench.report import json_line
from orpheus_server.bench.speech.burst_stats import burst_stats
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.level_stats import level_stats
from orpheus_server.bench.speech.ratio_report import RATIO_TITLE
from orpheus_server.bench.speech.report import (
    LevelReport,
    burst_text,
    highest_text,
    highest_without_underrun,
    level_document,
    progress_line,
    table,
)
from tests.bench.results import failed, level, one_round, spoken


def test_progress() -> None:
    assert progress_line(one_round(spoken(), failed("503"), failed("503"))) == (
        "3 requests in 2.0 s, first byte p50 250 ms, 2.0 audio s/s, 2 x 503"
    )
    assert progress_line(one_round(failed("timeout"))) == (
        "1 requests in 0.5 s, none heard, 0.0 audio s/s, 1 x timeout"
    )


def test_table() -> None:
    lines = table(
        [
            level("short", 1),
            level("medium", 16, one_round(spoken(1.5, stalls_sec=[0.125]), failed("503"))),
            level("long", 2, one_round(failed("503"))),
        ]
    ).splitlines()
    assert [" ".join(line.split()) for line in lines[1:4]] == [
        "short 1 250/250/250 375/375/375 0.500/0.500 2.0 100.0% 100.0/100.0/100.0 0 500 0/1",
        "medium 16 1500/1500/1500 1625/1625/1625 0.500/0.500 2.0 0.0% 0.0/0.0/50.0 125 500 1/2",
        "long 2 - - - 0.0 0.0% 0.0/0.0/0.0 0 0 1/1",
    ]
    assert lines[0].startswith(" texts  users      first byte ms   first audible ms")
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[4:] == [
        "first byte and first audible: p50/p95/p99; real-time factor: p50/p99. Percentiles are of "
        "complete responses, interpolated linearly between the two nearest values.",
        "Medians of the rounds; stall and gap: largest of all rounds; failed: all rounds.",
        "C50/C100/C200: requests that are complete and never stall for longer than 50/100/200 ms.",
    ]


def test_the_table_of_an_open_loop() -> None:
    results = [spoken(started_sec=1.0), spoken(started_sec=2.5)]
    late = level_stats(results, arrivals_sec=(0.0, 1.25))
    lines = table([LevelReport(Level("short", rate_per_sec=0.5), (late,))]).splitlines()
    assert lines[0].startswith(" texts  requests/s      first byte ms")
    assert lines[1].split()[:2] == ["short", "0.5"]
    assert len(lines[0]) == len(lines[1])
    assert lines[-1] == "Requests were sent at most 250 ms late."


def test_the_table_of_two_servers() -> None:
    """The medians of each server, then the ratio of the medians."""
    own = [one_round(spoken(first_sec)) for first_sec in (0.25, 1.0, 0.25)]
    peer = [one_round(spoken(first_sec)) for first_sec in (0.5, 0.125, 2.0)]
    levels = [
        level("short", 1, *own, peer_rounds=peer),
        level("short", 4, *own, peer_rounds=own),
    ]
    lines = table(levels).splitlines()
    assert lines[0].startswith(" texts  users  server      first byte ms   first audible ms")
    assert [line.split()[:4] for line in lines[1:5]] == [
        ["short", "1", "own", "250/250/250"],
        ["short", "1", "peer", "500/500/500"],
        ["short", "4", "own", "250/250/250"],
        ["short", "4", "peer", "250/250/250"],
    ]
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[8] == RATIO_TITLE
    assert lines[9].startswith(" texts  users         first byte      first audible")
    assert [" ".join(line.split()) for line in lines[10:]] == [
        "short 1 2.00/2.00/2.00 1.67/1.67/1.67 1.00/1.00 1.00 1.00 1.00/1.00/1.00 - 1.00 -",
        "short 4 1.00/1.00/1.00 1.00/1.00/1.00 1.00/1.00 1.00 1.00 1.00/1.00/1.00 - 1.00 -",
    ]
    assert len({len(line) for line in lines[9:]}) == 1


class TestHighest:
    def test_every_round_must_be_clean(self) -> None:
        clean, stalled = one_round(), one_round(spoken(stalls_sec=[0.001]))
        levels = [
            level("short", 1, clean, clean),
            level("short", 4, clean, stalled),
            level("long", 1, stalled, clean),
            level("medium", 8, clean, clean),
        ]
        highest = highest_without_underrun(levels)
        assert highest == {"short": 1, "long": None, "medium": 8}
        assert highest_text(highest, unit="users") == (
            "most users without an underrun or a failure in any round: short 1, long none, medium 8"
        )

    def test_rates(self) -> None:
        levels = [
            LevelReport(Level("short", rate_per_sec=rate), (one_round(),)) for rate in (0.5, 2.0)
        ]
        highest = highest_without_underrun(levels)
        assert highest_text(highest, unit="requests/s") == (
            "most requests/s without an underrun or a failure in any round: short 2"
        )

    def test_the_peer(self) -> None:
        stalled = one_round(spoken(stalls_sec=[0.001]))
        levels = [
            level("short", 1, peer_rounds=[one_round()]),
            level("short", 4, peer_rounds=[stalled]),
        ]
        assert highest_without_underrun(levels) == {"short": 4}
        assert highest_without_underrun(levels, of_peer=True) == {"short": 1}

    def test_levels_above_one_with_underruns_do_not_count(self) -> None:
        stalled = one_round(spoken(stalls_sec=[0.001]))
        levels = [level("short", 8), level("short", 2), level("short", 4, stalled)]
        assert highest_without_underrun(levels) == {"short": 2}

    def test_a_failure_is_not_clean(self) -> None:
        broken = one_round(spoken(), failed("503"))
        assert highest_without_underrun([level("short", 1, broken)]) == {"short": None}


def test_burst() -> None:
    stats = burst_stats([[spoken(), spoken(), failed("503")]])
    assert burst_text(stats, num_users=3, num_sentences=2, num_bursts=1) == (
        "1 bursts of 3 users, sentences each: 2\n"
        "  1.00 requests/s, 4.0 audio s/s\n"
        "  whole answer: mean 2000 ms, p95 2000 ms\n"
        "  first byte: mean 250 ms, p95 250 ms\n"
        "  first audible: mean 375 ms, p95 375 ms\n"
        "  no underrun: 66.7%\n"
        "  C50 66.7%, C100 66.7%, C200 66.7%\n"
        "  failed: 1/3\n"
        "    1 x 503"
    )
    nothing = burst_stats([[failed("503")]])
    assert "mean" not in burst_text(nothing, num_users=1, num_sentences=1, num_bursts=1)


def test_the_json_of_a_level_with_a_peer() -> None:
    peer_rounds = [one_round(spoken(0.5)), one_round(spoken(0.75)), one_round(failed("503"))]
    read = json.loads(json_line(level_document(level("short", 2, peer_rounds=peer_rounds))))
    assert read["summary"]["first_audio_sec"]["p50"] == 0.25
    assert read["peer_summary"]["first_audio_sec"]["p50"] == 0.625
    assert len(read["peer_rounds"]) == 3
    assert read["peer_over_own"]["first_audio_sec"] == {"p50": 2.5, "p95": 2.5, "p99": 2.5}
    assert read["peer_over_own"]["share_failed"] is None


def test_the_json_of_a_level() -> None:
    document = level_document(level("short", 2, one_round(), one_round(failed("503"))))
    read = json.loads(json_line(document))
    assert (read["texts"], read["concurrency"], read["rate_per_sec"]) == ("short", 2, None)
    assert not [key for key in read if key.startswith("peer")]
    assert read["summary"]["num_requests"] == 2
    assert [each["first_audio_sec"] for each in read["rounds"]] == [
        {"p50": 0.25, "p95": 0.25, "p99": 0.25},
        None,
    ]

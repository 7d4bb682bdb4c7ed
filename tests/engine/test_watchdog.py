"""Which ticks of a watchdog find a stall or ask for a probe."""

import pytest

from orpheus_server.engine.watchdog import Verdict, Watchdog

LETTERS: dict[Verdict, str] = {"healthy": "-", "needs probe": "p", "stalled": "s"}


def verdicts(
    ticks: str, *, stall_sec: float = 10.0, tick_sec: float = 1.0, num_failures_in_row: int = 0
) -> str:
    """One letter for each tick.

    Ticks are `.` idle, `w` a generation waits, `D` a delta and nothing waits, `d` a delta and a
    generation waits.
    """
    watchdog = Watchdog(stall_sec=stall_sec, tick_sec=tick_sec)
    num_deltas = 0
    found = ""
    for tick in ticks:
        num_deltas += tick in "dD"
        watchdog, verdict = watchdog.tick(
            num_deltas=num_deltas,
            is_waiting=tick in "dw",
            num_failures_in_row=num_failures_in_row,
        )
        found += LETTERS[verdict]
    return found


def test_a_wait_counts_from_its_second_tick() -> None:
    assert verdicts("w" * 11) == "-" * 10 + "s"
    assert verdicts("w." * 4) == "-" * 8


def test_a_stall_is_found_after_the_limit_whatever_the_tick() -> None:
    assert verdicts("w" * 21, tick_sec=0.5) == "-" * 20 + "s"
    assert verdicts("w" * 31, stall_sec=30.0) == "-" * 30 + "s"


def test_a_delta_resets_the_wait() -> None:
    assert verdicts("w" * 10 + "d" + "w" * 10) == "-" * 20 + "s"
    assert verdicts("wwwwwwwwwd" * 20) == "-" * 200


def test_a_wait_is_kept_when_callers_give_up_one_after_the_other() -> None:
    """The second tick of each caller counts; the idle ticks between them lead to a probe."""
    assert verdicts("ww." * 10) == "-" * 14 + "p" + "-" * 13 + "ss"


def test_five_idle_seconds_lead_to_a_probe() -> None:
    assert verdicts("." * 12) == "----p----p--"
    assert verdicts("." * 12, tick_sec=2.5) == "-p" * 6


def test_the_pause_between_probes_is_half_of_a_longer_limit() -> None:
    assert verdicts("." * 16, stall_sec=30.0) == "-" * 14 + "p-"


def test_a_delta_resets_the_idle_time() -> None:
    assert verdicts("....D....." + "....d.....") == "---------p---------p"


def test_no_probe_is_due_while_a_generation_waits() -> None:
    assert verdicts("....www.") == "-------p"


@pytest.mark.parametrize(
    ("num_failures_in_row", "expected"), [(2, "------"), (3, "pppppp"), (9, "pppppp")]
)
def test_three_failures_in_a_row_lead_to_a_probe(num_failures_in_row: int, expected: str) -> None:
    assert verdicts("dDwd.w", num_failures_in_row=num_failures_in_row) == expected


def test_a_stall_counts_for_more_than_a_doubt() -> None:
    assert verdicts("w" * 11, num_failures_in_row=3) == "p" * 10 + "s"


def test_a_tick_leaves_the_watchdog_as_it_was() -> None:
    watchdog = Watchdog(stall_sec=10.0, tick_sec=1.0)
    later, _ = watchdog.tick(num_deltas=0, is_waiting=False, num_failures_in_row=0)
    assert (watchdog.idle_sec, later.idle_sec) == (0.0, 1.0)

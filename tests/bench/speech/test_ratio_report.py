"""The exact text of ratios."""

from orpheus_server.bench.speech.burst_stats import burst_stats
from orpheus_server.bench.speech.ratio_report import (
    RATIO_COLUMNS,
    RATIO_TITLE,
    burst_ratio_text,
    ratio_cells,
)
from orpheus_server.bench.speech.ratios import burst_ratios, level_ratios
from tests.bench.results import failed, one_round, spoken


def test_the_cells_of_a_level() -> None:
    own = one_round(spoken(0.25), spoken(0.25, stalls_sec=[0.0625]))
    cells = ratio_cells(level_ratios(one_round(spoken(0.5)), own=own))
    assert cells == [
        "2.00/2.00/2.00",
        "1.67/1.67/1.67",
        "1.00/1.00",
        "0.50",
        "2.00",
        "2.00/1.00/1.00",
        "0.00",
        "1.00",
        "-",
    ]
    assert len(cells) == len(RATIO_COLUMNS)


def test_a_level_without_a_complete_answer() -> None:
    cells = ratio_cells(level_ratios(one_round(), own=one_round(failed("503"))))
    assert cells == ["-", "-", "-", "-", "-", "-/-/-", "-", "-", "0.00"]


def test_bursts() -> None:
    ratios = burst_ratios(burst_stats([[spoken(0.5)]]), own=burst_stats([[spoken(), spoken()]]))
    assert burst_ratio_text(ratios) == (
        f"{RATIO_TITLE}\n"
        "  requests/s 0.50, audio s/s 0.50\n"
        "  whole answer: mean 1.00, p95 1.00\n"
        "  first byte: mean 2.00, p95 2.00\n"
        "  first audible: mean 1.67, p95 1.67\n"
        "  no underrun: 1.00\n"
        "  C50 1.00, C100 1.00, C200 1.00\n"
        "  failed: -"
    )
    nothing = burst_ratios(burst_stats([[failed("503")]]), own=burst_stats([[spoken()]]))
    assert "\n  whole answer: -\n" in burst_ratio_text(nothing)

"""What the benchmark of speech prints of the ratios of two servers."""

from orpheus_server.bench.report import Percentiles
from orpheus_server.bench.speech.burst_stats import MeanAndP95
from orpheus_server.bench.speech.ratios import BurstRatios, LevelRatios

RATIO_TITLE = (
    "Ratios peer/own (above 1: the peer's figure is larger); failed: of the shares of requests; "
    "a dash: a figure is missing, or own is 0."
)
RATIO_COLUMNS = (
    ("first byte", 17),
    ("first audible", 17),
    ("real-time factor", 16),
    ("audio s/s", 9),
    ("no underrun", 11),
    ("C50/C100/C200", 17),
    ("stall", 8),
    ("gap", 8),
    ("failed", 8),
)


def ratio_cells(ratios: LevelRatios) -> list[str]:
    """The cells of one level in `RATIO_COLUMNS`."""
    rtf = ratios.real_time_factor
    return [
        _percentiles(ratios.first_audio_sec),
        _percentiles(ratios.audible_sec),
        "-" if rtf is None else _joined(rtf.p50, rtf.p99),
        _number(ratios.audio_sec_per_sec),
        _number(ratios.share_without_underrun),
        _joined(ratios.c50, ratios.c100, ratios.c200),
        _number(ratios.largest_stall_sec),
        _number(ratios.largest_gap_sec),
        _number(ratios.share_failed),
    ]


def burst_ratio_text(ratios: BurstRatios) -> str:
    """The ratios of all bursts."""
    c50, c100, c200 = (_number(share) for share in (ratios.c50, ratios.c100, ratios.c200))
    lines = [
        RATIO_TITLE,
        f"  requests/s {_number(ratios.requests_per_sec)}, "
        f"audio s/s {_number(ratios.audio_sec_per_sec)}",
        f"  whole answer: {_mean_and_p95(ratios.total_sec)}",
        f"  first byte: {_mean_and_p95(ratios.first_audio_sec)}",
        f"  first audible: {_mean_and_p95(ratios.audible_sec)}",
        f"  no underrun: {_number(ratios.share_without_underrun)}",
        f"  C50 {c50}, C100 {c100}, C200 {c200}",
        f"  failed: {_number(ratios.share_failed)}",
    ]
    return "\n".join(lines)


def _number(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _joined(*ratios: float | None) -> str:
    return "/".join(_number(ratio) for ratio in ratios)


def _percentiles(ratios: Percentiles | None) -> str:
    return "-" if ratios is None else _joined(ratios.p50, ratios.p95, ratios.p99)


def _mean_and_p95(ratios: MeanAndP95 | None) -> str:
    return "-" if ratios is None else f"mean {ratios.mean:.2f}, p95 {ratios.p95:.2f}"

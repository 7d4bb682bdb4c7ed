"""The output of a soak: a line per minute, the totals and the verdict."""

from collections.abc import Sequence

from orpheus_server.bench.report import milliseconds, text_table
from orpheus_server.bench.soak.leaks import MEGABYTE, Verdict
from orpheus_server.bench.soak.result import OUTCOMES
from orpheus_server.bench.soak.stats import MinuteStats, SoakTotals, Tail

COLUMNS = (
    ("minute", 6),
    ("requests", 8),
    *((outcome, max(6, len(outcome))) for outcome in OUTCOMES),
    ("first audio ms", 17),
    ("underrun", 9),
    ("health ms", 9),
    ("RSS MB", 8),
    ("fds", 5),
    ("threads", 7),
    ("tasks", 5),
)
_EXPLAINED = (
    "refused: to be retried later; cut: by the users; bad input: correctly rejected. "
    "First audio: p50/p95/p99 of all streams; underrun: of raw pcm streams; health: p99."
)


def soak_table(minutes: Sequence[MinuteStats]) -> str:
    """Returns the table with one line per minute."""
    return f"{text_table(COLUMNS, [minute_cells(each) for each in minutes])}\n{_EXPLAINED}"


def minute_cells(minute: MinuteStats) -> list[str]:
    """Returns the cells of one line of the table."""
    health, now = minute.health_sec, minute.metrics
    return [
        str(minute.number),
        str(minute.num_requests),
        *(str(minute.outcomes[outcome]) for outcome in OUTCOMES),
        milliseconds(minute.first_audio_sec),
        f"{minute.num_underrun_streams}/{minute.num_players}",
        "-" if health is None else f"{health.p99 * 1000:.0f}",
        "-" if now is None else f"{now.resident_bytes / MEGABYTE:.1f}",
        "-" if now is None else str(now.num_open_files),
        "-" if now is None else str(now.num_threads),
        "-" if now is None else str(now.num_tasks),
    ]


def totals_text(totals: SoakTotals) -> str:
    """Returns the outcomes in total and by kind, the slow tail of the times, and the failures."""
    lines = [f"{totals.num_requests} requests: {_counts(totals.outcomes)}"]
    lines += [f"  {kind}: {_counts(counts)}" for kind, counts in totals.kinds.items()]
    lines.append(f"streams with an underrun: {totals.num_underrun_streams}/{totals.num_players}")
    for name, tail in (
        ("first audio", totals.first_audio_sec),
        ("whole answers", totals.total_sec),
    ):
        if tail is not None:
            lines.append(f"{name}: {_tail_text(tail)}")
    lines += [f"  {count} x {failure}" for failure, count in totals.failures.items()]
    return "\n".join(lines)


def verdict_text(verdict: Verdict | None) -> str:
    """Returns the lines about leaks; a verdict of None means that they were not checked."""
    if verdict is None:
        return "leaks: not checked"
    slope = verdict.memory_mb_per_min
    slope_text = "" if slope is None else f", {slope:+.2f} MB a minute under load"
    lines = [
        *(f"LEAK: {leak}" for leak in verdict.leaks),
        *(f"note: {note}" for note in verdict.notes),
        f"memory: {verdict.memory_growth_share:+.1%} over the baseline{slope_text}",
    ]
    if not verdict.leaks:
        lines.append("no leaks")
    return "\n".join(lines)


def _counts(outcomes: dict[str, int]) -> str:
    found = [f"{count} {outcome}" for outcome, count in outcomes.items() if count]
    return ", ".join(found) or "none"


def _tail_text(tail: Tail) -> str:
    return f"p50/p95/p99 {milliseconds(tail.percentiles)} ms, largest {tail.largest * 1000:.0f} ms"

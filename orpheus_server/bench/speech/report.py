"""What the benchmark of speech prints: a line per round, a table of levels, the bursts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from orpheus_server.bench.report import PERCENTILES, milliseconds, text_table
from orpheus_server.bench.speech.burst_stats import BurstStats
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.level_stats import LevelStats, over_rounds

_USERS = ("users", 5)
_RATE = ("requests/s", 10)
_COLUMNS = (
    ("first byte ms", 17),
    ("first audible ms", 17),
    ("real-time factor", 16),
    ("audio s/s", 9),
    ("no underrun", 11),
    ("C50/C100/C200 %", 17),
    ("stall ms", 8),
    ("gap ms", 8),
    ("failed", 8),
)
_EXPLAINED = (
    f"first byte and first audible: p50/p95/p99; real-time factor: p50/p99. {PERCENTILES}\n"
    "Medians of the rounds; stall and gap: largest of all rounds; failed: all rounds.\n"
    "C50/C100/C200: requests that are complete and never stall for longer than 50/100/200 ms."
)


@dataclass(frozen=True, slots=True)
class LevelReport:
    """All rounds of one level."""

    level: Level
    rounds: tuple[LevelStats, ...]

    @property
    def summary(self) -> LevelStats:
        """The statistics over the rounds."""
        return over_rounds(self.rounds)


def progress_line(stats: LevelStats) -> str:
    """The line printed when one round of one level ends."""
    first = stats.first_audio_sec
    first_text = "none heard" if first is None else f"first byte p50 {first.p50 * 1000:.0f} ms"
    line = (
        f"{stats.num_requests} requests in {stats.wall_sec:.1f} s, {first_text}, "
        f"{stats.audio_sec_per_sec:.1f} audio s/s"
    )
    return line + "".join(f", {count} x {failure}" for failure, count in stats.failures.items())


def table(levels: Sequence[LevelReport]) -> str:
    """The table with one line per level; all levels are users, or all are rates."""
    is_open_loop = levels[0].level.rate_per_sec is not None
    columns = (("texts", 6), _RATE if is_open_loop else _USERS, *_COLUMNS)
    lines = [text_table(columns, [_cells(each) for each in levels]), _EXPLAINED]
    delays_sec = [each.summary.largest_send_delay_sec for each in levels]
    found = [delay_sec for delay_sec in delays_sec if delay_sec is not None]
    if found:
        lines.append(f"Requests were sent at most {max(found) * 1000:.0f} ms late.")
    return "\n".join(lines)


def _cells(measured: LevelReport) -> list[str]:
    level, stats = measured.level, measured.summary
    rtf = stats.real_time_factor
    return [
        level.texts,
        f"{level.load:g}",
        milliseconds(stats.first_audio_sec),
        milliseconds(stats.audible_sec),
        "-" if rtf is None else f"{rtf.p50:.3f}/{rtf.p99:.3f}",
        f"{stats.audio_sec_per_sec:.1f}",
        f"{stats.share_without_underrun:.1%}",
        "/".join(f"{share * 100:.1f}" for share in (stats.c50, stats.c100, stats.c200)),
        f"{stats.largest_stall_sec * 1000:.0f}",
        f"{stats.largest_gap_sec * 1000:.0f}",
        f"{stats.num_failed}/{stats.num_requests}",
    ]


def highest_without_underrun(levels: Sequence[LevelReport]) -> dict[str, float | None]:
    """The highest load of each text length up to which no round had an underrun.

    A clean level above one with underruns does not count: it was luck.
    """
    highest: dict[str, float | None] = {}
    for texts in dict.fromkeys(each.level.texts for each in levels):
        highest[texts] = None
        found = [each for each in levels if each.level.texts == texts]
        for measured in sorted(found, key=lambda each: each.level.load):
            if any(each.share_without_underrun < 1 for each in measured.rounds):
                break
            highest[texts] = measured.level.load
    return highest


def highest_text(highest: Mapping[str, float | None], *, unit: str) -> str:
    """The line that reports `highest_without_underrun`."""
    found = ", ".join(
        f"{texts} {'none' if load is None else f'{load:g}'}" for texts, load in highest.items()
    )
    return f"most {unit} without an underrun or a failure in any round: {found}"


def burst_text(stats: BurstStats, *, num_users: int, num_sentences: int, num_bursts: int) -> str:
    """The summary of the bursts."""
    lines = [
        f"{num_bursts} bursts of {num_users} users, sentences each: {num_sentences}",
        f"  {stats.requests_per_sec:.2f} requests/s, {stats.audio_sec_per_sec:.1f} audio s/s",
    ]
    for name, times in (
        ("whole answer", stats.total_sec),
        ("first byte", stats.first_audio_sec),
        ("first audible", stats.audible_sec),
    ):
        if times is not None:
            lines.append(
                f"  {name}: mean {times.mean * 1000:.0f} ms, p95 {times.p95 * 1000:.0f} ms"
            )
    lines.append(f"  no underrun: {stats.share_without_underrun:.1%}")
    lines.append(f"  C50 {stats.c50:.1%}, C100 {stats.c100:.1%}, C200 {stats.c200:.1%}")
    lines.append(f"  failed: {stats.num_failed}/{stats.num_requests}")
    lines.extend(f"    {count} x {failure}" for failure, count in stats.failures.items())
    return "\n".join(lines)


def level_document(measured: LevelReport) -> dict[str, object]:
    """One level in the JSON document."""
    return {
        **asdict(measured.level),
        "summary": asdict(measured.summary),
        "rounds": [asdict(each) for each in measured.rounds],
    }

"""What the benchmark of speech prints: a line per round, a table of levels, the bursts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from orpheus_server.bench.report import PERCENTILES, milliseconds, text_table
from orpheus_server.bench.speech.burst_stats import BurstStats
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.level_stats import LevelStats, over_rounds
from orpheus_server.bench.speech.ratio_report import RATIO_COLUMNS, RATIO_TITLE, ratio_cells
from orpheus_server.bench.speech.ratios import LevelRatios, level_ratios

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
    peer_rounds: tuple[LevelStats, ...] = ()
    """The same rounds of the peer; empty without a peer."""

    @property
    def summary(self) -> LevelStats:
        """The statistics over the rounds."""
        return over_rounds(self.rounds)

    @property
    def peer_summary(self) -> LevelStats | None:
        """The peer's statistics over the rounds; None without a peer."""
        return over_rounds(self.peer_rounds) if self.peer_rounds else None

    @property
    def ratios(self) -> LevelRatios | None:
        """The peer's summary divided by the own one; None without a peer."""
        peer = self.peer_summary
        return None if peer is None else level_ratios(peer, own=self.summary)


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
    """The table with one line per level and server; all levels are users, or all are rates.

    With a peer, a table of the ratios follows.
    """
    load = _USERS if levels[0].level.rate_per_sec is None else _RATE
    level_columns = (("texts", 6), load)
    server_column = (("server", 6),) if levels[0].peer_rounds else ()
    rows = [row for each in levels for row in _rows(each)]
    lines = [text_table((*level_columns, *server_column, *_COLUMNS), rows), _EXPLAINED]
    delays_sec = [
        stats.largest_send_delay_sec
        for each in levels
        for stats in (*each.rounds, *each.peer_rounds)
        if stats.largest_send_delay_sec is not None
    ]
    if delays_sec:
        lines.append(f"Requests were sent at most {max(delays_sec) * 1000:.0f} ms late.")
    ratio_rows = [
        [*_level_cells(each.level), *ratio_cells(each.ratios)]
        for each in levels
        if each.ratios is not None
    ]
    if ratio_rows:
        lines += [RATIO_TITLE, text_table((*level_columns, *RATIO_COLUMNS), ratio_rows)]
    return "\n".join(lines)


def _rows(measured: LevelReport) -> list[list[str]]:
    head = _level_cells(measured.level)
    peer = measured.peer_summary
    if peer is None:
        return [[*head, *_cells(measured.summary)]]
    return [[*head, "own", *_cells(measured.summary)], [*head, "peer", *_cells(peer)]]


def _level_cells(level: Level) -> list[str]:
    return [level.texts, f"{level.load:g}"]


def _cells(stats: LevelStats) -> list[str]:
    rtf = stats.real_time_factor
    return [
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


def highest_without_underrun(
    levels: Sequence[LevelReport], *, of_peer: bool = False
) -> dict[str, float | None]:
    """The highest load of each text length up to which no round had an underrun.

    A clean level above one with underruns does not count: it was luck.
    """
    highest: dict[str, float | None] = {}
    for texts in dict.fromkeys(each.level.texts for each in levels):
        highest[texts] = None
        found = [each for each in levels if each.level.texts == texts]
        for measured in sorted(found, key=lambda each: each.level.load):
            rounds = measured.peer_rounds if of_peer else measured.rounds
            if any(each.share_without_underrun < 1 for each in rounds):
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
    document: dict[str, object] = {
        **asdict(measured.level),
        "summary": asdict(measured.summary),
        "rounds": [asdict(each) for each in measured.rounds],
    }
    if measured.peer_summary is not None and measured.ratios is not None:
        document["peer_summary"] = asdict(measured.peer_summary)
        document["peer_rounds"] = [asdict(each) for each in measured.peer_rounds]
        document["peer_over_own"] = asdict(measured.ratios)
    return document

"""One picture of a benchmark. Imported only when one is asked for: matplotlib takes a second."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from orpheus_server.bench.speech.report import LevelReport

_SIZE_IN = (12.0, 8.0)
_DOTS_PER_INCH = 100


def write_plot(levels: Sequence[LevelReport], file: Path, *, title: str) -> None:
    """Writes 1200x800 pixels of PNG: first audio above, throughput below, both over users."""
    figure = Figure(figsize=_SIZE_IN, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    first, throughput = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title, fontsize=12, wrap=True)
    for color, texts in enumerate(dict.fromkeys(level.texts for level in levels)):
        own = [level for level in levels if level.texts == texts]
        _draw(first, throughput, own, color=f"C{color}")
    users = sorted({level.concurrency for level in levels})
    needed = range(users[0], users[-1] + 1)
    throughput.plot(needed, needed, color="0.5", linestyle=":", label="real time for every user")
    first.set_ylabel("time to first audio, ms")
    throughput.set_ylabel("audio seconds per second")
    throughput.set_xlabel("concurrent users")
    for axes in (first, throughput):
        axes.set_xscale("log", base=2)
        axes.set_xticks(users, [str(number) for number in users])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=9)
    figure.savefig(file, format="png")


def _draw(first: Axes, throughput: Axes, levels: Sequence[LevelReport], *, color: str) -> None:
    """The lines of one kind of text; a level in which every request failed has no first audio."""
    levels = sorted(levels, key=lambda level: level.concurrency)
    texts = levels[0].texts
    heard = [
        (level.concurrency, times)
        for level in levels
        if (times := level.summary.first_audio_sec) is not None
    ]
    users = [concurrency for concurrency, _ in heard]
    p50_ms = [times.p50 * 1000 for _, times in heard]
    p95_ms = [times.p95 * 1000 for _, times in heard]
    first.plot(users, p50_ms, color=color, marker="o", label=f"{texts}, p50")
    first.plot(users, p95_ms, color=color, marker="^", linestyle="--", label=f"{texts}, p95")
    throughput.plot(
        [level.concurrency for level in levels],
        [level.summary.audio_sec_per_sec for level in levels],
        color=color,
        marker="o",
        label=texts,
    )

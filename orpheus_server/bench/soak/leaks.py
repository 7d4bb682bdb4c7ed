"""Checks whether a server still holds resources of requests that have ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression

from orpheus_server.bench.client.server_metrics import ServerMetrics

MEGABYTE = 10**6

MOST_MORE = 2
"""Allowed increase in open files, threads and tasks, whose numbers vary without a leak."""

MOST_GROWTH_MB_PER_MIN = 1.0
MOST_GROWTH_SHARE = 0.05
"""Allowed growth of resident memory over the baseline."""

LEAST_SLOPE_MIN = 5.0
"""In a shorter soak the slope is not judged, because caches that are filling look like a leak."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The leaks, and observations that are not leaks."""

    leaks: tuple[str, ...]
    notes: tuple[str, ...]
    memory_mb_per_min: float | None
    """None with fewer than two readings."""

    memory_growth_share: float
    num_engine_restarts: int


def judge_leaks(
    baseline: ServerMetrics,
    end: ServerMetrics,
    memory: Sequence[tuple[float, int]],
    *,
    duration_min: float,
) -> Verdict:
    """Compares two readings at rest; the baseline was taken after a warm-up.

    `memory` holds readings in between, as (minutes, resident bytes).
    """
    leaks = [f"{count} requests are still {state}" for state, count in end.active.items() if count]
    for count, label in ((end.num_sessions, "sessions"), (end.num_generations, "generations")):
        if count:
            leaks.append(f"{count} {label} are still active")
    leaks += [
        f"{after} {label}, {after - before} more than at the start"
        for before, after, label in _pairs(baseline, end)
        if after > before + MOST_MORE
    ]
    growth_share = end.resident_bytes / baseline.resident_bytes - 1
    slope = memory_mb_per_min(memory)
    is_slope_judged = duration_min >= LEAST_SLOPE_MIN and slope is not None
    notes = []
    is_larger = end.resident_bytes > (1 + MOST_GROWTH_SHARE) * baseline.resident_bytes
    if not is_slope_judged:
        notes.append(
            f"the slope of the memory was not checked, only its growth: {duration_min:g} minutes "
            f"are less than {LEAST_SLOPE_MIN:g}"
        )
    is_steep = not is_slope_judged or (slope is not None and slope > MOST_GROWTH_MB_PER_MIN)
    if is_larger and is_steep:
        steep = "" if slope is None else f", {slope:+.2f} MB a minute"
        leaks.append(f"memory {growth_share:+.1%}{steep}")
    restarts = end.num_engine_restarts - baseline.num_engine_restarts
    if restarts:
        notes.append(f"the engine was restarted {restarts} times")
    return Verdict(tuple(leaks), tuple(notes), slope, growth_share, restarts)


def has_grown(baseline: ServerMetrics, now: ServerMetrics) -> bool:
    """Whether open files, threads or tasks have increased by more than their usual variation."""
    return any(after > before + MOST_MORE for before, after, _ in _pairs(baseline, now))


def unjudged(reason: str) -> Verdict:
    """Returns the verdict if the metrics could not be read at the end, which counts as a leak."""
    return Verdict((reason,), (), None, 0.0, 0)


def _pairs(baseline: ServerMetrics, now: ServerMetrics) -> list[tuple[int, int, str]]:
    return [
        (baseline.num_open_files, now.num_open_files, "open files"),
        (baseline.num_threads, now.num_threads, "threads"),
        (baseline.num_tasks, now.num_tasks, "tasks"),
    ]


def memory_mb_per_min(memory: Sequence[tuple[float, int]]) -> float | None:
    """Returns the slope of the line of best fit, or None with fewer than two times."""
    if len({minutes for minutes, _ in memory}) < 2:
        return None
    minutes = [each for each, _ in memory]
    return linear_regression(minutes, [num_bytes / MEGABYTE for _, num_bytes in memory]).slope

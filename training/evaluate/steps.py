"""Steps of level and pitch from one recording to the next of the same voice."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from typing import Any

from training.evaluate.measures import Measures


@dataclass(frozen=True, slots=True)
class Steps:
    """Sizes of the steps: decibels of level, semitones of median pitch."""

    level_db: tuple[float, ...]
    pitch_semitones: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "num_steps": len(self.level_db),
            "level_step_db": _mean_and_largest(self.level_db),
            "pitch_step_semitones": _mean_and_largest(self.pitch_semitones),
        }


def find_steps(recordings: Sequence[Measures]) -> Steps:
    """Returns the steps between neighbours; those without a pitch have no step of pitch."""
    level, pitch = [], []
    for before, after in pairwise(recordings):
        level.append(round(abs(after.level_db - before.level_db), 2))
        if before.pitch_hz and after.pitch_hz:
            pitch.append(round(abs(12 * log2(after.pitch_hz / before.pitch_hz)), 2))
    return Steps(tuple(level), tuple(pitch))


def _mean_and_largest(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"mean": round(sum(values) / len(values), 2), "largest": max(values)}

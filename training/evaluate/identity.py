"""Which checkpoint was evaluated: hashes of its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.files import hash_file, hash_json, read_json

DESCRIPTION = "speech.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """The hash of all that decides how a checkpoint speaks at given sampling, and of each file."""

    hash: str
    files: Mapping[str, str]


def identify(checkpoint: Path) -> Identity:
    """Hashes a checkpoint folder. Raises `TrainingError` if it is not one.

    The sampling in `speech.json` does not count: the evaluation sets its own, and chooses it. Nor
    does the shortest speech, which it measures.
    """
    if not (checkpoint / DESCRIPTION).is_file():
        raise TrainingError(f"{checkpoint} has no {DESCRIPTION} and is not a checkpoint folder")
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    files = {str(path.relative_to(checkpoint)): hash_file(path) for path in paths}
    description = read_json(checkpoint / DESCRIPTION)
    description.pop("sampling", None)
    for voice in description.get("voices", ()):
        voice.pop("shortest", None)
    # A notice or a description for readers changes no sound.
    weights = {name: each for name, each in files.items() if name.endswith((".json", "tensors"))}
    decisive = {**weights, DESCRIPTION: hash_json(description)}
    return Identity(hash_json(decisive), files)

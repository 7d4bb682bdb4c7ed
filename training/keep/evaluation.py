"""What an evaluation says of a voice, as far as keeping it needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import hash_file, read_json

WEIGHT_FILES = ("model.safetensors", "codec/model.safetensors")
"""Of a checkpoint folder; `speech.json` changes with the sampling that the evaluation chose."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The word error rate of the held-out utterances through the server, and of which weights."""

    word_error_rate: float
    weights: dict[str, str]
    """The hash of each file of `WEIGHT_FILES`."""

    def is_of(self, voice: Path) -> bool:
        """Returns whether a checkpoint folder is the one that was evaluated."""
        return self.weights == hash_weights(voice)


def hash_weights(voice: Path) -> dict[str, str]:
    return {name: hash_file(voice / name) for name in WEIGHT_FILES if (voice / name).is_file()}


def read_evaluation(path: Path) -> Evaluation | None:
    """Reads `evaluation.json`; None if only some of the utterances were spoken.

    Raises `TrainingError` if it lacks one of the two.
    """
    found: Any = read_json(path)
    try:
        if found["limit"] is not None:
            return None
        rate = float(found["served"]["all"]["word_error_rate"])
        weights = {name: str(found["files"][name]) for name in WEIGHT_FILES}
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path} states no word error rate through the server, or not of which weights"
        ) from error
    return Evaluation(rate, weights)

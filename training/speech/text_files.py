"""Reads what the texts stage wrote. Standard library only."""

from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import read_json

HELD_OUT = "held_out.json"


def read_text_shard(folder: Path, number: int, *, made_from: str) -> list[dict[str, Any]]:
    """Returns the utterances of a shard. Raises `TrainingError` if it is missing or another's."""
    return _read(folder / f"{number:05}.json", made_from)


def read_held_out(folder: Path, *, made_from: str) -> list[dict[str, Any]]:
    """Returns the held-out utterances, each with its `speakers`."""
    return _read(folder / HELD_OUT, made_from)


def _read(path: Path, made_from: str) -> list[dict[str, Any]]:
    if not path.is_file():
        raise TrainingError(f"{path} is missing: run the stage texts first")
    content = read_json(path)
    if content["made_from"] != made_from:
        raise TrainingError(
            f"{path} was made from {content['made_from']}, the other texts from {made_from}: "
            "delete it, it will be made again"
        )
    utterances: list[dict[str, Any]] = content["utterances"]
    return utterances

"""Shards: one safetensors file each, with arrays and a JSON description in its metadata.

The header of a safetensors file states its length, so a file that was cut is noticed.
"""

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from training.errors import TrainingError
from training.files import write_atomically

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]

_NAME = re.compile(r"\d{5}\.safetensors")


class CutShard(TrainingError):
    """A shard that is cut or is not a shard."""


def shard_path(folder: Path, number: int) -> Path:
    """Returns the file of a shard."""
    return folder / f"{number:05}.safetensors"


def write_shard(path: Path, arrays: Mapping[str, Array], info: Mapping[str, Any]) -> None:
    """Writes a shard, complete or not at all. `info` must be JSON."""
    text = json.dumps(dict(info), ensure_ascii=False, sort_keys=True)
    # safetensors writes the bytes of a view's base if the array is not contiguous.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, save(contiguous, metadata={"info": text}))


def read_info(path: Path) -> dict[str, Any]:
    """Reads the description only. Raises `CutShard`."""
    try:
        with safe_open(path, framework="np") as file:
            return _info(path, file.metadata())
    except (SafetensorError, OSError) as error:
        raise CutShard(f"{path} is cut or is not a shard: {error}") from error


def read_shard(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Reads arrays and description. Raises `CutShard`."""
    try:
        with safe_open(path, framework="np") as file:
            info = _info(path, file.metadata())
            return {name: file.get_tensor(name) for name in file.keys()}, info  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CutShard(f"{path} is cut or is not a shard: {error}") from error


def shard_numbers(folder: Path) -> list[int]:
    """Returns the numbers of the complete shards, sorted. Deletes cut ones: they are made again."""
    numbers = []
    for path in sorted(folder.glob("*.safetensors")):
        if not _NAME.fullmatch(path.name):
            continue
        try:
            read_info(path)
        except CutShard as error:
            logger.warning("%s; deleted, it will be made again", error)
            path.unlink(missing_ok=True)
        else:
            numbers.append(int(path.stem))
    return numbers


def _info(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    if metadata is None or "info" not in metadata:
        raise CutShard(f"{path} is not a shard: it has no description")
    info = json.loads(metadata["info"])
    assert isinstance(info, dict), "write_shard writes an object"
    return info

"""A shard of tokens as the stage `tokens` writes it, with times in the steps that are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.files import hash_bytes, hash_json
from training.shards import Array, read_shard, shard_path, write_shard

STEPS_PER_FRAME = 16
"""Times are kept in sixteenths of a frame, 5.3 ms: they only guide attention, frame by frame."""

_ARRAYS = {"codes", "frame_ends", "symbol_frames"}


@dataclass(frozen=True, slots=True)
class TokenShard:
    """Utterances with their codes and the times of their symbols."""

    number: int
    codes: npt.NDArray[np.uint16]
    """[frames, 7]"""
    frame_ends: npt.NDArray[np.int64]
    """[utterances], cumulative"""
    symbol_steps: npt.NDArray[np.int64]
    """[symbols, 2]: start and end, in sixteenths of a frame from the utterance's start"""
    utterances: list[dict[str, Any]]
    info: Mapping[str, Any]
    """The rest of the shard's description."""

    @property
    def hash(self) -> str:
        """Identifies the content: codes, symbols and texts exactly, times in steps."""
        parts = (self.codes, self.frame_ends, self.symbol_steps)
        return hash_json([hash_bytes(a.tobytes()) for a in parts] + [self.utterances, self.info])


def read_token_shard(folder: Path, number: int) -> TokenShard:
    """Reads a shard and rounds its times. Raises `TrainingError` if it is not as described."""
    path = shard_path(folder, number)
    arrays, info = read_shard(path)
    if set(arrays) != _ARRAYS or "utterances" not in info:
        raise TrainingError(f"{path} is not a shard of tokens: it has {', '.join(sorted(arrays))}")
    utterances = info.pop("utterances")
    num_symbols = sum(len(utterance["symbols"]) for utterance in utterances)
    steps = np.rint(arrays["symbol_frames"].astype(np.float64) * STEPS_PER_FRAME).astype(np.int64)
    shard = TokenShard(
        number=number,
        codes=arrays["codes"].astype(np.uint16),
        frame_ends=arrays["frame_ends"].astype(np.int64),
        symbol_steps=steps,
        utterances=utterances,
        info=info,
    )
    num_frames = int(shard.frame_ends[-1]) if len(shard.frame_ends) else 0
    if (
        shard.codes.shape != (num_frames, 7)
        or len(shard.frame_ends) != len(utterances)
        or steps.shape != (num_symbols, 2)
    ):
        raise TrainingError(f"{path} is inconsistent: its arrays and utterances differ in length")
    return shard


def write_token_shard(folder: Path, shard: TokenShard) -> None:
    """Writes the shard in the format of the stage `tokens`."""
    arrays: dict[str, Array] = {
        "codes": shard.codes,
        "frame_ends": shard.frame_ends,
        "symbol_frames": (shard.symbol_steps / STEPS_PER_FRAME).astype(np.float32),
    }
    write_shard(
        shard_path(folder, shard.number), arrays, {**shard.info, "utterances": shard.utterances}
    )

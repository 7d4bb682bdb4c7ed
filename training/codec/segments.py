"""Speech as training data: random segments of all shards, read from mapped files."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from training.errors import TrainingError
from training.shards import CutShard, read_info

logger = logging.getLogger(__name__)

QUIET_PEAK = 0.02
"""Segments below this peak teach silence only; speech has a peak of some 0.5."""

GAINS = (0.7, 1.1)
"""Segments are played this much louder, so that codes do not depend on one exact level."""


@dataclass(frozen=True, slots=True)
class _Shard:
    samples: Any
    """A slice of a mapped file: indexing reads int16 samples."""
    num_samples: int


class SpeechSegments:
    """Random segments of the speech in a folder, chosen by (seed, step, rank) alone.

    Shards that appear later are noticed by `refresh`.
    """

    def __init__(self, folder: Path, *, made_from: str) -> None:
        self._folder = folder
        self._made_from = made_from
        self._shards: dict[str, _Shard] = {}
        self.refresh()

    def refresh(self) -> None:
        """Opens the shards that were added. Raises `TrainingError` for one of other speech."""
        for path in sorted(self._folder.glob("[0-9]*.safetensors")):
            if path.name in self._shards:
                continue
            try:
                info = read_info(path)
                samples = _map_samples(path)
            except (CutShard, SafetensorError) as error:
                logger.warning("%s; not used", error)
                continue
            if info["made_from"] != self._made_from:
                raise TrainingError(
                    f"{path} was made from {info['made_from']}, and this is {self._made_from}: "
                    "set TRAINING_DIR to another folder"
                )
            self._shards[path.name] = _Shard(samples, int(samples.get_shape()[0]))
        self._names = sorted(self._shards)
        self._ends = np.cumsum([self._shards[name].num_samples for name in self._names])

    @property
    def num_samples(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def batch(self, random: np.random.Generator, size: int, num_samples: int) -> torch.Tensor:
        """Returns segments [size, num_samples] in float32, each from within one shard.

        Raises `TrainingError` if there is no speech.
        """
        if not self._names:
            raise TrainingError(f"{self._folder} has no speech: run the stage speech first")
        segments: list[np.ndarray] = []
        num_tries = 0
        while len(segments) < size:
            num_tries += 1
            if num_tries > 1_000 * size:
                raise TrainingError(f"{self._folder} has no segment of speech that is long enough")
            position = int(random.integers(self.num_samples))
            index = int(np.searchsorted(self._ends, position, side="right"))
            shard = self._shards[self._names[index]]
            start = position - (int(self._ends[index]) - shard.num_samples)
            if start + num_samples > shard.num_samples:
                continue
            segment = shard.samples[start : start + num_samples].astype(np.float32) / 32768
            if np.abs(segment).max() >= QUIET_PEAK:
                segments.append(segment * np.float32(random.uniform(*GAINS)))
        return torch.from_numpy(np.stack(segments)).clamp_(-1.0, 1.0)


def _map_samples(path: Path) -> Any:
    file: Any = safe_open(path, framework="np")
    return file.get_slice("samples")


def step_random(seed: int, step: int, rank: int) -> np.random.Generator:
    """Returns the generator of one step of one process."""
    return np.random.default_rng([seed, step, rank])

"""What was spoken, kept in shards: an evaluation that was killed goes on after the last one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.ear.recordings import Pcm, key_of, split_samples
from training.evaluate.items import Item, item_from_json
from training.evaluate.loudness import Wave
from training.shards import read_info, read_shard, shard_numbers, shard_path, write_shard

SAMPLE_RATE = 24_000


@dataclass(frozen=True, slots=True)
class Spoken:
    """An item as it was spoken; `result` is JSON: faults, attempts, seconds."""

    item: Item
    samples: Pcm
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """The description of a recording; `recording` is its key for the ear."""

    recording: str
    item: Item
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpokenFolder:
    """The shards of one way of speaking."""

    path: Path

    def shards(self) -> list[Path]:
        return [shard_path(self.path, number) for number in shard_numbers(self.path)]

    def entries(self) -> list[Entry]:
        """Returns the descriptions of all recordings."""
        return [
            Entry(key_of(path, index), item_from_json(value), value["result"])
            for path in self.shards()
            for index, value in enumerate(read_info(path)["utterances"])
        ]

    def recordings(self) -> Iterator[tuple[Entry, Pcm]]:
        """Yields all recordings with their descriptions."""
        for path in self.shards():
            arrays, info = read_shard(path)
            parts = split_samples(arrays["samples"], arrays["sample_ends"])
            for index, (value, part) in enumerate(zip(info["utterances"], parts, strict=True)):
                entry = Entry(key_of(path, index), item_from_json(value), value["result"])
                yield entry, part

    def missing(self, items: Sequence[Item]) -> list[Item]:
        """Returns the items that were not spoken yet."""
        known = {entry.item.key for entry in self.entries()}
        return [item for item in items if item.key not in known]

    def add(self, batch: Sequence[Spoken]) -> None:
        """Writes one more shard. Raises `TrainingError` if the disk is full."""
        number = max(shard_numbers(self.path), default=-1) + 1
        utterances = [{**each.item.to_json(), "result": dict(each.result)} for each in batch]
        sizes = [each.samples.size for each in batch]
        write_shard(
            shard_path(self.path, number),
            {
                "samples": np.concatenate([each.samples for each in batch]),
                "sample_ends": np.cumsum(sizes, dtype=np.int64),
            },
            {"utterances": utterances, "sample_rate": SAMPLE_RATE},
        )


def to_pcm(wave: Wave) -> Pcm:
    """Returns samples between -1 and 1 as int16."""
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def to_wave(samples: Pcm) -> Wave:
    """Returns int16 samples between -1 and 1."""
    return np.asarray(samples / np.float32(32768), np.float32)

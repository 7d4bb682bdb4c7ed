"""The teacher's recordings: of the held-out texts, to compare with; of training, for timbres."""

from collections.abc import Iterator
from pathlib import Path

from training.ear.recordings import Pcm, key_of, split_samples
from training.evaluate.items import HELD_OUT, Item
from training.evaluate.spoken import Entry, to_wave
from training.evaluate.timbre import Centroids, Vector, find_centroids, mel_statistics
from training.shards import read_shard, shard_numbers, shard_path

CENTROID_SHARDS = 24
"""Shards of speech whose timbres are measured: about 90 utterances of each speaker."""


def teacher_recordings(held_out: Path) -> Iterator[tuple[Entry, Pcm]]:
    """Yields the recordings of held-out texts. Raises `CutShard`."""
    for number in shard_numbers(held_out):
        path = shard_path(held_out, number)
        arrays, info = read_shard(path)
        parts = split_samples(arrays["samples"], arrays["sample_ends"])
        for index, (each, part) in enumerate(zip(info["utterances"], parts, strict=True)):
            item = Item(
                key=f"{HELD_OUT}/{each['number']}/{each['speaker']}",
                collection=HELD_OUT,
                kind=each["kind"],
                text=each["text"],
                symbols=tuple(each["symbols"]),
                voice=each["speaker"],
            )
            yield Entry(key_of(path, index), item, {}), part


def speaker_centroids(speech: Path, num_shards: int = CENTROID_SHARDS) -> Centroids | None:
    """Returns the timbres of the speakers of training; None if there is no speech yet."""
    vectors: dict[str, list[Vector]] = {}
    for number in shard_numbers(speech)[:num_shards]:
        arrays, info = read_shard(shard_path(speech, number))
        parts = split_samples(arrays["samples"], arrays["sample_ends"])
        for each, part in zip(info["utterances"], parts, strict=True):
            vector = mel_statistics(to_wave(part), int(info["sample_rate"]))
            if vector is not None:
                vectors.setdefault(each["speaker"], []).append(vector)
    return find_centroids(vectors) if vectors else None

"""Encodes speech shards as Opus."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.files import read_json, write_atomically, write_json
from training.gpu_pack.layout import SAMPLE_RATE, SPEECH_INDEX, opus_path
from training.gpu_pack.opus import encode_opus
from training.recipe import FILE
from training.shards import read_shard, shard_numbers, shard_path


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How much speech is packed, and how well."""

    max_hours: float = 3.0
    bits_per_sec: int = 20_000


def pack_speech(source: Path, target: Path, options: SpeechOptions, *, max_bytes: int) -> float:
    """Encodes shards until one of the limits; returns the hours.

    Speakers take turns from utterance to utterance, so all of them have the same share.
    """
    shards = []
    total_samples = total_bytes = 0
    for number, samples in _read_samples(source):
        if total_samples / SAMPLE_RATE / 3600 >= options.max_hours:
            break
        data = encode_opus(samples, bits_per_sec=options.bits_per_sec)
        if total_bytes + len(data) > max_bytes:
            break
        write_atomically(opus_path(target, number), data)
        shards.append({"number": number, "num_samples": len(samples)})
        total_bytes += len(data)
        total_samples += len(samples)
    made_from = read_json(source / FILE)["hash"]
    write_json(target / SPEECH_INDEX, {"made_from": made_from, "shards": shards})
    return total_samples / SAMPLE_RATE / 3600


def _read_samples(folder: Path) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
    for number in shard_numbers(folder):
        arrays, _ = read_shard(shard_path(folder, number))
        yield number, arrays["samples"]

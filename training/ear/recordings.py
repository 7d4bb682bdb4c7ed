"""Recordings as the ear reads them: shards of speech, and WAV or npz files of other programs."""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.shards import read_shard

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Recording:
    """int16 mono samples. `key` is unique in the work folder: the file's name and the position."""

    key: str
    samples: Pcm
    sample_rate: int


def key_of(path: Path, index: int) -> str:
    """Returns the key of the recording at a position of a file."""
    return f"{path.stem}/{index}"


def split_samples(samples: Pcm, sample_ends: npt.NDArray[np.int64]) -> list[Pcm]:
    """Returns the samples of each utterance of a shard."""
    return np.split(samples, sample_ends[:-1]) if sample_ends.size else []


def read_recordings(path: Path) -> Iterator[Recording]:
    """Yields the recordings of a file. Raises `TrainingError` if it cannot be read."""
    if path.suffix == ".safetensors":
        arrays, info = read_shard(path)
        parts = split_samples(arrays["samples"], arrays["sample_ends"])
        for index, part in enumerate(parts):
            yield Recording(key_of(path, index), part, int(info["sample_rate"]))
    elif path.suffix == ".wav":
        yield _read_wav(path)
    elif path.suffix == ".npz":
        yield from _read_npz(path)
    else:
        raise TrainingError(f"{path} is not a .safetensors, .wav or .npz file")


def _read_wav(path: Path) -> Recording:
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2 or file.getnchannels() != 1:
                raise TrainingError(f"{path} is not 16-bit mono")
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            return Recording(key_of(path, 0), samples, file.getframerate())
    except (OSError, wave.Error, EOFError) as error:
        raise TrainingError(f"{path} is not a WAV file: {error}") from error


def _read_npz(path: Path) -> Iterator[Recording]:
    """Yields the int16 arrays of a file, 24 kHz; the key is the array's name."""
    try:
        with np.load(path) as arrays:
            for name in arrays.files:
                yield Recording(f"{path.stem}/{name}", arrays[name].astype(np.int16), 24_000)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} is not an npz file: {error}") from error

import wave
from pathlib import Path

import numpy as np
import pytest

from training.ear.recordings import read_recordings
from training.errors import TrainingError
from training.shards import write_shard


def test_reads_the_utterances_of_a_shard(tmp_path: Path) -> None:
    path = tmp_path / "00003.safetensors"
    samples = np.arange(5, dtype=np.int16)
    ends = np.array([2, 5], np.int64)
    write_shard(path, {"samples": samples, "sample_ends": ends}, {"sample_rate": 24_000})
    first, second = read_recordings(path)
    assert (first.key, first.samples.tolist(), first.sample_rate) == ("00003/0", [0, 1], 24_000)
    assert (second.key, second.samples.tolist()) == ("00003/1", [2, 3, 4])


def test_reads_wav_and_npz(tmp_path: Path) -> None:
    samples = np.array([1, -2, 3], np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    np.savez(tmp_path / "b.npz", tara=samples)
    (from_wav,) = read_recordings(tmp_path / "a.wav")
    (from_npz,) = read_recordings(tmp_path / "b.npz")
    assert (from_wav.key, from_wav.samples.tolist(), from_wav.sample_rate) == (
        "a/0",
        [1, -2, 3],
        16_000,
    )
    assert (from_npz.key, from_npz.samples.tolist()) == ("b/tara", [1, -2, 3])


@pytest.mark.parametrize("name", ["a.safetensors", "a.wav", "a.npz", "a.mp3"])
def test_names_the_file_that_it_cannot_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a recording")
    with pytest.raises(TrainingError, match=name):
        list(read_recordings(tmp_path / name))

from pathlib import Path

import numpy as np

from training.ear.hear import transcribe
from training.ear.recordings import Recording
from training.ear.rows import read_rows
from training.shards import Array, write_shard


class CountingEar:
    """Hears the number of samples, and counts its recordings."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def hear(self, recording: Recording) -> str:
        self.keys.append(recording.key)
        return str(recording.samples.size)


def write_recordings(path: Path, lengths: list[int]) -> None:
    arrays: dict[str, Array] = {
        "samples": np.zeros(sum(lengths), np.int16),
        "sample_ends": np.cumsum(lengths).astype(np.int64),
    }
    write_shard(path, arrays, {"sample_rate": 24_000})


def test_goes_on_after_a_stop_and_hears_nothing_twice(tmp_path: Path) -> None:
    path, output = tmp_path / "00000.safetensors", tmp_path / "heard.jsonl"
    write_recordings(path, [4, 5, 6])
    ear = CountingEar()
    num_heard = transcribe([path], output, lambda: ear, is_stopped=lambda: len(ear.keys) == 2)
    assert num_heard == 2
    assert transcribe([path], output, lambda: ear) == 1
    assert ear.keys == ["00000/0", "00000/1", "00000/2"]
    assert [row["heard"] for row in read_rows(output)] == ["4", "5", "6"]


def test_does_not_load_the_ear_for_nothing(tmp_path: Path) -> None:
    def load() -> CountingEar:
        raise AssertionError

    path, output = tmp_path / "00000.safetensors", tmp_path / "heard.jsonl"
    write_recordings(path, [4])
    transcribe([path], output, CountingEar)
    assert transcribe([path], output, load) == 0

"""Tests of speech as Opus."""

from pathlib import Path

import pytest

from tests.training.gpu_pack.conftest import write_speech
from training.files import read_json
from training.folder import TrainingFolder
from training.gpu_pack.speech_packing import SpeechOptions, pack_speech


@pytest.mark.parametrize(
    ("max_hours", "max_bytes", "numbers"),
    [(1.0, 10**9, [0, 1, 2]), (3.5 / 3600, 10**9, [0, 1]), (1.0, 12_000, [0, 1]), (1.0, 9, [])],
)
def test_shards_are_packed_until_a_limit(
    trained: TrainingFolder,
    tmp_path: Path,
    max_hours: float,
    max_bytes: int,
    numbers: list[int],
) -> None:
    for number in range(3):
        write_speech(trained, number)
    target = tmp_path / "packed"
    options = SpeechOptions(max_hours=max_hours)
    hours = pack_speech(trained.speech, target, options, max_bytes=max_bytes)
    assert hours == pytest.approx(2 * len(numbers) / 3600)
    index = read_json(target / "speech.json")
    assert index["made_from"] == "5bee"
    assert index["shards"] == [{"number": number, "num_samples": 48_000} for number in numbers]
    files = sorted(path.name for path in target.glob("*.opus"))
    assert files == [f"{number:05}.opus" for number in numbers]

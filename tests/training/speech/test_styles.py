"""Styles as arrays."""

from pathlib import Path

import numpy as np
import pytest

from training.errors import TrainingError
from training.speech.speakers import load_speakers
from training.speech.styles import hash_styles, load_styles


def write_style(folder: Path, name: str, value: float) -> None:
    np.full((510, 1, 256), value, "<f4").tofile(folder / f"{name}.bin")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "speakers.json"
    path.write_text(
        '{"speakers": [{"name": "ava", "style": '
        '{"timbre": {"one": 0.25, "two": 0.75}, "prosody": "three"}}]}'
    )
    return path


def test_halves_are_mixed(tmp_path: Path, mixed: Path) -> None:
    for value, name in enumerate(("one", "two", "three"), start=1):
        write_style(tmp_path, name, value)
    style = load_styles(load_speakers(mixed), tmp_path)["ava"]
    assert style.shape == (510, 256)
    assert style.dtype == np.float32
    assert np.unique(style[:, :128]).tolist() == [1.75]
    assert np.unique(style[:, 128:]).tolist() == [3]


def test_hashes_are_of_the_used_styles(tmp_path: Path, mixed: Path) -> None:
    for name in ("one", "two", "three", "four"):
        write_style(tmp_path, name, 1)
    before = hash_styles(load_speakers(mixed), tmp_path)
    assert before.keys() == {"one", "two", "three"}
    write_style(tmp_path, "two", 2)
    after = hash_styles(load_speakers(mixed), tmp_path)
    assert [name for name in before if before[name] != after[name]] == ["two"]


def test_a_missing_style_is_an_error(tmp_path: Path, mixed: Path) -> None:
    with pytest.raises(TrainingError, match=r"one\.bin is missing"):
        load_styles(load_speakers(mixed), tmp_path)

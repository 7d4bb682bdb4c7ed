"""What the texts stage wrote, as speech reads it."""

import json
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.speech.text_files import read_held_out, read_text_shard


def write(path: Path, made_from: str = "abc") -> None:
    path.write_text(json.dumps({"made_from": made_from, "utterances": [{"number": 64}]}))


def test_a_shard(tmp_path: Path) -> None:
    write(tmp_path / "00002.json")
    assert read_text_shard(tmp_path, 2, made_from="abc") == [{"number": 64}]


def test_held_out(tmp_path: Path) -> None:
    write(tmp_path / "held_out.json")
    assert read_held_out(tmp_path, made_from="abc") == [{"number": 64}]


def test_other_texts_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "00002.json", made_from="other")
    with pytest.raises(TrainingError, match=r"00002\.json was made from other, the other texts"):
        read_text_shard(tmp_path, 2, made_from="abc")


def test_missing_texts_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"00002\.json is missing: run the stage texts first"):
        read_text_shard(tmp_path, 2, made_from="abc")

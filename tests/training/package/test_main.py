"""The command: it packages the newest models of the newest generation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orpheus_server.checkpoints.checkpoint import ShortestSpeech
from orpheus_server.checkpoints.speech_json import load_speech_json
from tests.training.package.voices import write_stages
from training.errors import TrainingError
from training.files import write_json
from training.package.__main__ import main, read_voices

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    write_stages(tmp_path)
    monkeypatch.setenv("TRAINING_DIR", str(tmp_path))
    return lambda *arguments: main(arguments)


def test_the_voice_is_written_into_its_generation(run: Run, tmp_path: Path) -> None:
    run()
    checkpoint = load_speech_json(tmp_path / "1" / "voice")
    assert checkpoint.name == "pocket"
    assert [voice.name for voice in checkpoint.voices] == ["tara", "leo"]
    assert checkpoint.sampling.temperature == 0.6


def test_the_evaluation_chooses_the_sampling(run: Run, tmp_path: Path) -> None:
    write_json(tmp_path / "1" / "evaluation.json", {"sampling": {"temperature": 0.4, "top_p": 0.8}})
    run(str(tmp_path / "elsewhere"), "--name", "mine")
    checkpoint = load_speech_json(tmp_path / "elsewhere")
    assert checkpoint.name == "mine"
    assert (checkpoint.sampling.temperature, checkpoint.sampling.top_p) == (0.4, 0.8)


def test_limits_come_from_the_texts_and_the_evaluation(run: Run, tmp_path: Path) -> None:
    shortest = {"leo": {"share": 0.7, "sec": 0.1}, "another": {"share": 0.5, "sec": 0.0}}
    write_json(tmp_path / "1" / "evaluation.json", {"shortest": shortest})
    run()
    checkpoint = load_speech_json(tmp_path / "1" / "voice")
    assert checkpoint.max_sentences == 4
    tara, leo = checkpoint.voices
    assert tara.shortest == ShortestSpeech()
    assert leo.shortest == ShortestSpeech(share=0.7, sec=0.1)


def test_a_speaker_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "speakers.json"
    write_json(path, {"speakers": [{"name": "ann", "style": "af_heart"}]})
    assert [voice.name for voice in read_voices(path, ["ann"], shortest={})] == ["ann"]
    with pytest.raises(TrainingError, match="does not have the speaker 'tara'"):
        read_voices(path, ["ann", "tara"], shortest={})

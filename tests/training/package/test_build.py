"""The checkpoint folder: transformers, snac and the server load it as it stands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from orpheus_server.checkpoints.speech_json import load_speech_json
from tests.training.package.voices import VOCABULARY, VOICES, random_sources
from training.errors import TrainingError
from training.package.build import build_voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "voice"
    # Building includes loading with transformers, snac and the server's readers.
    sampling = {"temperature": 0.4, "top_p": 0.8}
    build_voice(folder, "tiny", random_sources(), VOICES, sampling=sampling)
    return folder


def test_the_files_of_the_folder(folder: Path) -> None:
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        *("LICENSE", "NOTICE", "README.md", "codec/config.json", "codec/model.safetensors"),
        *("config.json", "model.safetensors", "speech.json", "tokenizer.json"),
        *("tokenizer_config.json", "training.json"),
    ]
    assert list(folder.parent.iterdir()) == [folder]


def test_the_server_reads_the_description(folder: Path) -> None:
    checkpoint = load_speech_json(folder)
    assert checkpoint.name == "tiny"
    assert [voice.name for voice in checkpoint.voices] == ["tara", "leo"]
    assert checkpoint.find_voice("coral") == checkpoint.voices[0]
    assert checkpoint.find_voice("onyx") == checkpoint.voices[1]
    assert checkpoint.layout.audio_token_end == VOCABULARY.size
    assert (checkpoint.sampling.temperature, checkpoint.sampling.top_p) == (0.4, 0.8)


def test_weights_are_in_half_precision_and_the_codec_has_no_encoder(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in weights
    codec = load_file(folder / "codec" / "model.safetensors")
    assert {name.split(".")[0] for name in codec} == {"decoder", "quantizer"}


def test_the_folder_states_its_origin(folder: Path) -> None:
    record = json.loads((folder / "training.json").read_text())
    assert record["made_from"] == {"encoder": "0123"}
    assert record["versions"]["torch"] == torch.__version__
    assert "0123" in (folder / "README.md").read_text()
    notice = (folder / "NOTICE").read_text()
    assert all(name in notice for name in ("Kokoro-82M", "WordNet 3.0", "Whisper"))


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    folder.mkdir()
    (folder / "stale.json").touch()
    build_voice(folder, "tiny", random_sources(), VOICES, sampling={})
    assert not (folder / "stale.json").exists()
    assert load_speech_json(folder).sampling.temperature == 0.6


def test_a_folder_that_does_not_load_replaces_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    folder.mkdir()
    (folder / "stale.json").touch()
    sources = random_sources()
    codec = {name: value for name, value in sources.codec.items() if "codebook" not in name}
    with pytest.raises(TrainingError, match="codec"):
        build_voice(folder, "tiny", replace(sources, codec=codec), VOICES, sampling={})
    assert [path.name for path in folder.iterdir()] == ["stale.json"]


def test_prompts_that_the_server_would_write_otherwise_are_refused(tmp_path: Path) -> None:
    swapped = [VOICES[1], VOICES[0]]
    sources = random_sources()
    vocabulary = replace(VOCABULARY, speakers=("tara", "dan"))
    with pytest.raises(TrainingError, match="vocabulary"):
        build_voice(
            tmp_path / "voice",
            "tiny",
            replace(sources, vocabulary=vocabulary),
            swapped,
            sampling={},
        )

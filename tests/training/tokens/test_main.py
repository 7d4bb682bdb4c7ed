from pathlib import Path

import pytest
import torch

from tests.training.codec.speech import TINY, write_speech
from training.codec.encoder import MelEncoder
from training.codec.frozen import write_frozen
from training.codec.quantizer import build_quantizer
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.recipe import Recipe, claim
from training.tokens.__main__ import make_tokens
from training.trainer import Limits

SPEECH = Recipe("speech", {"teacher": "made up"})


def _freeze(folder: TrainingFolder, seed: int) -> None:
    torch.manual_seed(seed)
    encoder, quantizer = MelEncoder(TINY), build_quantizer(TINY)
    write_frozen(folder.encoder, TINY, encoder, quantizer, {"made_from": "hash"})


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    folder = TrainingFolder(tmp_path)
    claim(folder.speech, SPEECH)
    for number in range(3):
        write_speech(folder.speech, number, made_from=SPEECH.hash)
    _freeze(folder, 0)
    return folder


def _contents(folder: TrainingFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.tokens.glob("*.safetensors")}


def test_every_speech_shard_gets_its_tokens_once(folder: TrainingFolder) -> None:
    assert make_tokens(folder, Limits()) == 3
    first = _contents(folder)
    assert sorted(first) == [f"{number:05}.safetensors" for number in range(3)]
    write_speech(folder.speech, 3, made_from=SPEECH.hash)
    assert make_tokens(folder, Limits()) == 1
    assert make_tokens(folder, Limits()) == 0
    assert {name: data for name, data in _contents(folder).items() if name in first} == first


def test_cut_and_interrupted_tokens_are_made_again(folder: TrainingFolder) -> None:
    make_tokens(folder, Limits())
    first = _contents(folder)
    path = folder.tokens / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    answers = iter([False, True])
    (folder.tokens / "00002.safetensors").unlink()
    assert make_tokens(folder, Limits(is_stopped=lambda: next(answers))) == 1
    assert make_tokens(folder, Limits()) == 1
    assert _contents(folder) == first


def test_tokens_of_two_encoders_are_not_mixed(folder: TrainingFolder) -> None:
    make_tokens(folder, Limits())
    _freeze(folder, 1)
    with pytest.raises(TrainingError, match="made from something else .*encoder"):
        make_tokens(folder, Limits())


def test_speech_of_another_recipe_is_refused(folder: TrainingFolder) -> None:
    write_speech(folder.speech, 3, made_from="another hash")
    with pytest.raises(TrainingError, match="00003.safetensors was not made from"):
        make_tokens(folder, Limits())


def test_an_encoder_must_be_frozen(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage codes first"):
        make_tokens(TrainingFolder(tmp_path), Limits())

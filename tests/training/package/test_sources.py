"""What a voice is made from."""

from pathlib import Path

import pytest
import torch

from tests.training.package.voices import (
    MODEL,
    VOCABULARY,
    random_codec,
    random_model,
    write_language_model_state,
    write_stages,
)
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.package.sources import read_sources
from training.recipe import FILE, Recipe, claim
from training.states import Plan, cooled_folder, write_plan


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    return write_stages(tmp_path)


def test_the_newest_states_are_taken(folder: TrainingFolder) -> None:
    write_language_model_state(folder.language_model, 9, seed=3)
    sources = read_sources(folder)
    assert (sources.vocabulary, sources.language_model.config) == (VOCABULARY, MODEL)
    found, expected = sources.language_model.state_dict(), random_model(seed=3).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert sources.made_from["language_model"]["step"] == 9
    assert sources.made_from["decoder"]["step"] == 7
    assert not sources.made_from["decoder"]["is_cooled"]


def test_a_complete_last_part_is_taken(folder: TrainingFolder) -> None:
    write_plan(folder.language_model, Plan(budget=10, main_steps=5, cooldown_steps=2))
    write_language_model_state(cooled_folder(folder.language_model, 5), 7, seed=3)
    made_from = read_sources(folder).made_from["language_model"]
    assert (made_from["step"], made_from["is_cooled"], made_from["seed"]) == (7, True, 1)


def test_the_codec_has_the_frozen_quantizer_and_the_trained_decoder(folder: TrainingFolder) -> None:
    sources, codec = read_sources(folder), random_codec()
    assert sources.codec.keys() == codec.keys()
    for name, value in codec.items():
        assert torch.equal(sources.codec[name], value.half())


@pytest.mark.parametrize("stage", ["tokens", "decoder"])
def test_tokens_and_codec_of_two_encoders_are_refused(folder: TrainingFolder, stage: str) -> None:
    path = folder.root / "1" / stage
    (path / FILE).unlink()
    claim(path, Recipe(stage, {"speech": "speech", "encoder": "another"}))
    with pytest.raises(TrainingError, match="made with the encoder another"):
        read_sources(folder)


def test_a_model_of_other_tokens_is_refused(folder: TrainingFolder) -> None:
    (folder.language_model / FILE).unlink()
    claim(folder.language_model, Recipe("language_model", {"tokens": "other"}))
    with pytest.raises(TrainingError, match="was not trained on"):
        read_sources(folder)


@pytest.mark.parametrize("stage", ["language_model", "decoder"])
def test_a_model_that_is_missing_is_named(folder: TrainingFolder, stage: str) -> None:
    for state in (folder.root / "1" / stage).glob("step-*.pt"):
        state.unlink()
    with pytest.raises(TrainingError, match=f"{stage} is empty"):
        read_sources(folder)


def test_without_an_encoder_there_is_no_voice(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage codes first"):
        read_sources(TrainingFolder(tmp_path))

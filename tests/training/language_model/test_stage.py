"""The stage: claims its folder, trains to the budget and goes on after a stop."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.language_model.shards import (
    CODEBOOK_SIZE,
    SPEAKERS,
    write_encoder,
    write_tokens,
)
from training.codec.code_vectors import read_code_vectors
from training.distributed import World
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.language_model.model import ModelConfig
from training.language_model.stage import LanguageModelStage, read_vocabulary
from training.language_model.trainee import TraineeOptions
from training.language_model.vocabulary import Vocabulary
from training.recipe import Recipe, claim
from training.shards import write_shard
from training.states import finished_folder, read_plan
from training.trainer import Limits, read_newest

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)
CONFIG = ModelConfig(
    VOCABULARY.size, hidden_size=64, num_layers=2, head_dim=32, intermediate_size=64
)
BUDGET = 1_500


def build_stage(root: Path) -> LanguageModelStage:
    folder = TrainingFolder(root)
    if not folder.tokens.exists():
        claim(folder.tokens, Recipe("tokens", {"encoder": "0123"}))
        write_tokens(folder.tokens, 0)
        write_tokens(folder.tokens, 1)
        write_encoder(folder.encoder)
    return LanguageModelStage(folder, VOCABULARY, CONFIG, TraineeOptions(num_tokens=256))


class StopAfter:
    """A request to stop after a number of steps."""

    def __init__(self, num_steps: int) -> None:
        self._num_left = num_steps

    def __call__(self) -> bool:
        self._num_left -= 1
        return self._num_left < 0


def newest_weights(stage: LanguageModelStage) -> dict[str, torch.Tensor]:
    state = read_newest(finished_folder(stage.folder.language_model))
    assert state is not None
    weights: dict[str, torch.Tensor] = state["state"]["model"]
    return weights


def test_a_run_in_turns_equals_one_run(tmp_path: Path) -> None:
    whole, stopped = build_stage(tmp_path / "whole"), build_stage(tmp_path / "stopped")
    assert whole.train(BUDGET, world=World(), limits=Limits())
    num_turns = 0
    while not stopped.train(BUDGET, world=World(), limits=Limits(is_stopped=StopAfter(2))):
        num_turns += 1
    assert num_turns >= 3
    plan = read_plan(stopped.folder.language_model)
    assert plan == read_plan(whole.folder.language_model)
    first, second = newest_weights(whole), newest_weights(stopped)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_codes_have_the_vectors_of_the_frozen_encoder(tmp_path: Path) -> None:
    stage = build_stage(tmp_path)
    stage.train(BUDGET, world=World(), limits=Limits(is_stopped=StopAfter(1)))
    found = newest_weights(stage)["embeddings.code_vectors"]
    assert torch.equal(found, torch.from_numpy(read_code_vectors(stage.folder.encoder)))


def test_a_budget_that_is_used_up_needs_no_step(tmp_path: Path) -> None:
    stage = build_stage(tmp_path)
    assert stage.train(BUDGET, world=World(), limits=Limits())
    before = newest_weights(stage)
    assert stage.train(BUDGET, world=World(), limits=Limits(is_stopped=lambda: True))
    after = newest_weights(stage)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_raised_budget_goes_on(tmp_path: Path) -> None:
    stage = build_stage(tmp_path)
    stage.train(BUDGET, world=World(), limits=Limits())
    before = read_plan(stage.folder.language_model)
    stage.train(2 * BUDGET, world=World(), limits=Limits())
    after = read_plan(stage.folder.language_model)
    assert before is not None
    assert after is not None
    assert after.main_steps > before.main_steps


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    stage = build_stage(tmp_path)
    stage.train(BUDGET, world=World(), limits=Limits(is_stopped=lambda: True))
    other = replace(stage, options=replace(stage.options, seed=2))
    with pytest.raises(TrainingError, match="seed 1 -> 2"):
        other.train(BUDGET, world=World(), limits=Limits())


def test_without_tokens_the_stage_before_is_named(tmp_path: Path) -> None:
    stage = LanguageModelStage(TrainingFolder(tmp_path), VOCABULARY, CONFIG, TraineeOptions())
    with pytest.raises(TrainingError, match="run the stage tokens first"):
        stage.train(BUDGET, world=World(), limits=Limits())


def test_the_codes_are_those_of_the_frozen_encoder(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    with pytest.raises(TrainingError, match="run the stage codes first"):
        read_vocabulary(folder, SPEAKERS)
    write_shard(folder.encoder, {}, {"config": {"codebook_size": 512}})
    assert read_vocabulary(folder, SPEAKERS) == Vocabulary(SPEAKERS, 512)

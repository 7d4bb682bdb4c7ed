"""The trainee: it learns, and goes on bit for bit from a state."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.language_model.shards import CODEBOOK_SIZE, SPEAKERS, code_vectors, write_tokens
from training.distributed import World
from training.language_model.model import ModelConfig
from training.language_model.trainee import LISTING_STEPS, LanguageModelTrainee, TraineeOptions
from training.language_model.vocabulary import Vocabulary

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)
CONFIG = ModelConfig(
    VOCABULARY.size, hidden_size=64, num_layers=2, head_dim=32, intermediate_size=64
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokens(tmp_path, 0)
    write_tokens(tmp_path, 1)
    return tmp_path


def build_trainee(folder: Path) -> LanguageModelTrainee:
    options = TraineeOptions(num_tokens=256)
    return LanguageModelTrainee(
        folder,
        VOCABULARY,
        CONFIG,
        options,
        World(),
        code_vectors=torch.from_numpy(code_vectors()),
    )


def run_steps(trainee: LanguageModelTrainee, first: int, end: int) -> list[dict[str, float]]:
    return [trainee.train_step(step, 1.0) for step in range(first, end)]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def flatten(value: Any) -> list[Any]:
    """Returns all tensors and numbers of a state."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in flatten(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in flatten(each)]
    return [value]


def assert_equal(first: dict[str, Any], second: dict[str, Any]) -> None:
    leaves = list(zip(flatten(first), flatten(second), strict=True))
    assert len(leaves) > 50
    for one, other in leaves:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_resumed_run_equals_an_uninterrupted_one(folder: Path) -> None:
    whole = build_trainee(folder)
    run_steps(whole, 0, 2)
    state = through_a_file(whole.state_dict())
    metrics = run_steps(whole, 2, 4)
    # A shard that came later is not used before the next listing.
    write_tokens(folder, 2)
    resumed = build_trainee(folder)
    resumed.load_state_dict(state)
    assert run_steps(resumed, 2, 4) == metrics
    assert_equal(resumed.state_dict(), whole.state_dict())


def test_new_shards_are_used_from_the_next_listing_on(folder: Path) -> None:
    trainee = build_trainee(folder)
    trainee.train_step(0, 1.0)
    write_tokens(folder, 2)
    trainee.train_step(1, 1.0)
    assert trainee.state_dict()["shards"] == [0, 1]
    trainee.train_step(LISTING_STEPS, 1.0)
    assert trainee.state_dict()["shards"] == [0, 1, 2]


def test_it_learns(folder: Path) -> None:
    trainee = build_trainee(folder)
    metrics = run_steps(trainee, 0, 15)
    # The codes are random: it learns which slot follows, and to look at the text.
    assert metrics[-1]["unmasked"] < metrics[0]["unmasked"] - 0.5
    assert metrics[-1]["guide"] < metrics[0]["guide"]
    assert metrics[-1]["million_tokens"] == trainee.num_tokens_seen / 1e6 > 0


def test_without_a_learning_rate_nothing_changes(folder: Path) -> None:
    trainee = build_trainee(folder)
    before = {name: value.clone() for name, value in trainee.model.state_dict().items()}
    trainee.train_step(0, 0.0)
    after = trainee.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_evaluation_has_right_and_wrong_text(folder: Path) -> None:
    trainee = build_trainee(folder)
    assert trainee.evaluate() == {}
    trainee.add_new_shards()
    assert trainee.evaluate().keys() == {"right_text", "wrong_text", "text_gain"}

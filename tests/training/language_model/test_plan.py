"""The steps of a budget of tokens."""

from pathlib import Path

import pytest

from tests.training.language_model.shards import CODEBOOK_SIZE, SPEAKERS, write_tokens
from training.language_model.batches import draw_batch
from training.language_model.dataset import Dataset
from training.language_model.plan import mean_tokens_per_step, plan_steps
from training.language_model.vocabulary import Vocabulary
from training.states import Plan, state_path, write_plan

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)


def test_the_last_part_sees_its_share_of_the_tokens(tmp_path: Path) -> None:
    plan = plan_steps(tmp_path, 100_000, num_tokens_seen=0, tokens_per_step=1_000)
    assert plan == Plan(budget=100_000, main_steps=85, cooldown_steps=15)


def test_the_plan_counts_the_tokens_that_were_seen(tmp_path: Path) -> None:
    state_path(tmp_path, 40).touch()
    plan = plan_steps(tmp_path, 100_000, num_tokens_seen=45_000, tokens_per_step=1_000)
    assert plan.main_steps == 40 + 40


def test_a_main_part_that_is_done_is_not_planned_again(tmp_path: Path) -> None:
    done = Plan(budget=100_000, main_steps=80, cooldown_steps=15)
    write_plan(tmp_path, done)
    state_path(tmp_path, 80).touch()
    assert plan_steps(tmp_path, 100_000, num_tokens_seen=84_000, tokens_per_step=1_000) == done
    raised = plan_steps(tmp_path, 200_000, num_tokens_seen=84_000, tokens_per_step=1_000)
    assert raised == Plan(budget=200_000, main_steps=80 + 86, cooldown_steps=30)


@pytest.mark.parametrize(("tokens_per_step", "is_kept"), [(1_100, True), (500, False)])
def test_a_plan_is_kept_if_steps_are_about_as_large(
    tmp_path: Path, tokens_per_step: float, is_kept: bool
) -> None:
    plan = plan_steps(tmp_path, 100_000, num_tokens_seen=0, tokens_per_step=1_000)
    write_plan(tmp_path, plan)
    state_path(tmp_path, 10).touch()
    again = plan_steps(tmp_path, 100_000, num_tokens_seen=10_500, tokens_per_step=tokens_per_step)
    assert (again == plan) is is_kept


def test_the_mean_is_that_of_many_batches(tmp_path: Path) -> None:
    dataset = Dataset(VOCABULARY)
    for number in (1, 2):
        write_tokens(tmp_path, number, max_frames=60)
    dataset.add(tmp_path, [1, 2])
    counts = [
        draw_batch(dataset, VOCABULARY, seed=0, step=step, rank=0, num_tokens=1000).num_audio_tokens
        for step in range(300)
    ]
    mean = sum(counts) / len(counts)
    assert mean_tokens_per_step(dataset, 1000, 2) == pytest.approx(2 * mean, rel=0.05)

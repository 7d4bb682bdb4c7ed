"""Batches: they follow from seed, step and rank."""

import numpy as np
import pytest
import torch

from tests.training.language_model.shards import CODEBOOK_SIZE, SPEAKERS, write_tokens
from training.errors import TrainingError
from training.language_model.batches import IGNORED, Batch, build_batch, draw_batch
from training.language_model.dataset import Dataset, Utterance
from training.language_model.vocabulary import Vocabulary

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)
UTTERANCE = Utterance(
    prompt=np.array([1, 5, 40, 41, 2, 3]),
    codes=np.array([[0, 1, 2, 3, 0, 1, 2], [3, 2, 1, 0, 3, 2, 1]], np.uint16),
    symbol_frames=np.array([[0, 1], [1, 2]], np.float32),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("tokens")
    dataset = Dataset(VOCABULARY)
    for number in (1, 2, 3):
        write_tokens(folder, number, max_frames=60)
    dataset.add(folder, [1, 2, 3])
    return dataset


def draw(dataset: Dataset, step: int = 0, rank: int = 0) -> Batch:
    return draw_batch(dataset, VOCABULARY, seed=1, step=step, rank=rank, num_tokens=1000)


def test_the_ids_and_labels_of_an_utterance() -> None:
    batch = build_batch([UTTERANCE], VOCABULARY, 24)
    audio = VOCABULARY.audio_ids(UTTERANCE.codes).tolist()
    assert batch.ids[0].tolist() == [1, 5, 40, 41, 2, 3, *audio, 0, 0, 0, 0]
    ignored = [IGNORED] * 5
    assert batch.labels[0].tolist() == [*ignored, *audio, 4, *[IGNORED] * 4]
    assert batch.num_audio_tokens == 15


def test_the_slots_of_an_utterance() -> None:
    batch = build_batch([UTTERANCE], VOCABULARY, 24)
    assert batch.slot_positions.shape == batch.slot_labels.shape == (1, 7, 4)
    # Code 1 of slot 3 follows position 5 + 3; the stop, the code after the last, position 19.
    assert batch.slot_positions[0, 3].tolist() == [8, 15, 22, 23]
    assert batch.slot_labels[0, 3].tolist() == [3, 0, IGNORED, IGNORED]
    assert batch.slot_positions[0, 0].tolist() == [5, 12, 19, 23]
    assert batch.slot_labels[0, 0].tolist() == [0, 3, CODEBOOK_SIZE, IGNORED]
    assert (batch.slot_labels != IGNORED).sum() == batch.num_audio_tokens


def test_the_guide_rewards_the_symbol_that_is_spoken() -> None:
    guide = build_batch([UTTERANCE], VOCABULARY, 24).guide[0]
    assert guide.shape == (24, 24)
    assert not guide[:5].any()
    assert not guide[20:].any()
    # Symbols stand at positions 2 and 3; the last row is that of the stop.
    assert guide[5, 2] == 1
    assert guide[19, 3] == 1
    assert guide[7, 3] < 0.7
    assert not guide[:, :2].any()
    assert not guide[:, 4:].any()


def test_a_share_of_the_input_is_replaced_within_its_slot() -> None:
    long = Utterance(UTTERANCE.prompt, np.zeros((140, 7), np.uint16), UTTERANCE.symbol_frames)
    vocabulary = Vocabulary(SPEAKERS, 1024)
    batch = build_batch([long] * 20, vocabulary, 1000, random=np.random.default_rng(0))
    slots = (batch.ids[:, 6:986] - 128) // 1024
    assert torch.equal(slots, torch.arange(980).expand(20, -1) % 7)
    is_replaced = (batch.ids[:, 6:986] - 128) % 1024 != 0
    assert is_replaced.float().mean().item() == pytest.approx(0.08, abs=0.01)
    assert (batch.labels[:, 5:985] == slots * 1024 + 128).all()


def test_a_batch_follows_from_seed_step_and_rank(dataset: Dataset) -> None:
    first, again = draw(dataset, step=7), draw(dataset, step=7)
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.guide, again.guide)
    assert any(draw(dataset, step=step).ids.shape != first.ids.shape for step in range(8, 20))


def test_processes_draw_other_utterances_of_the_same_length(dataset: Dataset) -> None:
    for step in range(5):
        first, second = draw(dataset, step, rank=0), draw(dataset, step, rank=1)
        assert first.ids.shape == second.ids.shape
        assert not torch.equal(first.ids, second.ids)


def test_a_batch_has_no_more_positions_than_allowed(dataset: Dataset) -> None:
    for step in range(10):
        assert draw(dataset, step).ids.numel() <= 1000


def test_without_utterances_there_is_no_batch() -> None:
    with pytest.raises(TrainingError, match="no utterances"):
        draw(Dataset(VOCABULARY))

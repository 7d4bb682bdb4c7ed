"""The cross-entropies of a batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.training.language_model.shards import CODEBOOK_SIZE, SPEAKERS
from training.language_model.batches import IGNORED, Batch, build_batch
from training.language_model.dataset import Utterance
from training.language_model.losses import calculate_losses, slot_logits, summed_cross_entropy
from training.language_model.model import LanguageModel, ModelConfig
from training.language_model.vocabulary import Vocabulary

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)


@pytest.fixture
def model() -> LanguageModel:
    config = ModelConfig(VOCABULARY.size, hidden_size=64, head_dim=32, num_layers=2)
    model = LanguageModel(config)
    model.initialise(seed=0)
    return model


@pytest.fixture
def batch() -> Batch:
    random = np.random.default_rng(0)
    utterances = [
        Utterance(
            prompt=np.array([1, 5, 40, 41, 2, 3][: 4 + num_frames]),
            codes=random.integers(0, CODEBOOK_SIZE, (num_frames, 7)).astype(np.uint16),
            symbol_frames=np.array([[0, 1], [1, 2]], np.float32),
        )
        for num_frames in (1, 2, 3)
    ]
    return build_batch(utterances, VOCABULARY, 40)


def allowed_ids(label: int) -> list[int]:
    """Returns the ids among which the server samples where this one is right."""
    slot = 0 if label == 4 else (label - 128) // CODEBOOK_SIZE
    start = 128 + slot * CODEBOOK_SIZE
    return [*range(start, start + CODEBOOK_SIZE), *([4] if slot == 0 else [])]


def test_the_loss_is_among_what_the_slot_allows(model: LanguageModel, batch: Batch) -> None:
    with torch.no_grad():
        logits = model(batch.ids)
    expected = []
    for row, position in (batch.labels != IGNORED).nonzero().tolist():
        label = int(batch.labels[row, position])
        allowed = logits[row, position, allowed_ids(label)].log_softmax(-1)
        expected.append(-allowed[allowed_ids(label).index(label)].item())
    assert len(expected) == batch.num_audio_tokens == 7 * 6 + 3
    assert summed_cross_entropy(model, batch, is_bfloat16=False) == pytest.approx(
        sum(expected), rel=1e-5
    )


def test_the_stop_is_a_choice_of_the_first_slot_only(model: LanguageModel, batch: Batch) -> None:
    with torch.no_grad():
        table = model.embeddings()
        hidden, _ = model.model(batch.ids, table)
        logits = slot_logits(table, hidden, batch.slot_positions)
    assert logits.shape == (3, 7, 6, CODEBOOK_SIZE + 1)
    assert logits[:, 0].isfinite().all()
    assert (logits[:, 1:, :, -1] == -torch.inf).all()


def test_every_eighth_position_is_compared_with_all_ids(model: LanguageModel, batch: Batch) -> None:
    losses = calculate_losses(
        model,
        batch.ids,
        batch.labels,
        batch.guide,
        batch.slot_positions,
        batch.slot_labels,
        is_bfloat16=False,
    )
    logits = model(batch.ids)[:, ::8].flatten(0, 1)
    expected = F.cross_entropy(logits, batch.labels[:, ::8].flatten(), ignore_index=IGNORED)
    assert losses[1].item() == pytest.approx(expected.item(), rel=1e-5)
    total = summed_cross_entropy(model, batch, is_bfloat16=False)
    assert losses[0].item() == pytest.approx(total / batch.num_audio_tokens, rel=1e-5)

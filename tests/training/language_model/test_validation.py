"""The cross-entropy with a right and with a wrong text."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.language_model.shards import CODEBOOK_SIZE, SPEAKERS, write_tokens
from training.language_model.dataset import Dataset
from training.language_model.model import LanguageModel, ModelConfig
from training.language_model.validation import spread, validate, with_text_of
from training.language_model.vocabulary import Vocabulary

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    write_tokens(tmp_path, 0)
    dataset = Dataset(VOCABULARY)
    dataset.add(tmp_path, [0])
    return dataset


def test_a_random_model_gains_nothing_from_its_text(dataset: Dataset) -> None:
    config = ModelConfig(VOCABULARY.size, hidden_size=32, head_dim=32, num_layers=2)
    model = LanguageModel(config)
    model.initialise(seed=0)
    validation = validate(model, VOCABULARY, dataset.validation)
    assert validation is not None
    assert validation.right_text == pytest.approx(np.log(CODEBOOK_SIZE), abs=0.3)
    assert validation.text_gain == pytest.approx(0, abs=0.01)


def test_without_two_utterances_there_is_no_validation(dataset: Dataset) -> None:
    model = LanguageModel(ModelConfig(VOCABULARY.size, hidden_size=32, head_dim=32, num_layers=1))
    assert validate(model, VOCABULARY, dataset.validation[:1]) is None


def test_a_wrong_text_keeps_speaker_and_speech(dataset: Dataset) -> None:
    first, second = dataset.validation[:2]
    wrong = with_text_of(first, second)
    assert wrong.prompt[1] == first.prompt[1] != second.prompt[1]
    assert wrong.prompt[2:].tolist() == second.prompt[2:].tolist()
    assert wrong.codes is first.codes


def test_utterances_are_evenly_spread(dataset: Dataset) -> None:
    chosen = spread(dataset.validation, 3)
    assert [dataset.validation.index(each) for each in chosen] == [0, 2, 5]
    assert spread(dataset.validation, 100) == dataset.validation

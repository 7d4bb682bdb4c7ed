"""Utterances read from shards of tokens."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.language_model.shards import CODEBOOK_SIZE, SPEAKERS, write_tokens
from training.errors import TrainingError
from training.language_model.dataset import LENGTHS, Dataset, fitting_length, read_utterances
from training.language_model.vocabulary import Vocabulary
from training.shards import shard_path

VOCABULARY = Vocabulary(SPEAKERS, CODEBOOK_SIZE)


def build_dataset(folder: Path, *numbers: int) -> Dataset:
    for number in numbers:
        write_tokens(folder, number)
    dataset = Dataset(VOCABULARY)
    dataset.add(folder, numbers)
    return dataset


def test_utterances_are_those_of_the_shard(tmp_path: Path) -> None:
    write_tokens(tmp_path, 3)
    utterances, made_from = read_utterances(shard_path(tmp_path, 3), VOCABULARY)
    assert made_from == "speech-and-encoder"
    assert len(utterances) == 12
    for index, utterance in enumerate(utterances):
        num_frames = len(utterance.codes)
        assert utterance.prompt[1] == 5 + index % 3
        assert len(utterance.prompt) == 2 * num_frames + 4
        assert utterance.symbol_frames.shape == (2 * num_frames, 2)
        # Times count from the beginning of each utterance.
        assert utterance.symbol_frames[0, 0] == 0
        assert utterance.symbol_frames[-1, 1] == num_frames


def test_the_end_of_every_eighth_shard_is_for_validation(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, *range(10))
    num_trained = sum(map(len, dataset.buckets.values()))
    assert len(dataset.validation) == 16
    assert num_trained == 10 * 12 - 16
    trained = {id(utterance) for bucket in dataset.buckets.values() for utterance in bucket}
    assert not trained & {id(utterance) for utterance in dataset.validation}


def test_a_shard_is_added_once(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, 1, 2)
    before = sum(map(len, dataset.buckets.values()))
    dataset.add(tmp_path, [1, 2])
    assert sum(map(len, dataset.buckets.values())) == before
    assert dataset.numbers == [1, 2]


def test_shards_of_two_encoders_are_refused(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path, 1)
    write_tokens(tmp_path, 2, made_from="another encoder")
    with pytest.raises(TrainingError, match="was made from another encoder"):
        dataset.add(tmp_path, [2])


def test_codes_beyond_the_book_are_refused(tmp_path: Path) -> None:
    write_tokens(tmp_path, 1)
    with pytest.raises(TrainingError, match="a code is not below 3"):
        read_utterances(shard_path(tmp_path, 1), Vocabulary(SPEAKERS, 3))


@pytest.mark.parametrize(("num_tokens", "length"), [(1, 256), (256, 256), (257, 448), (1217, None)])
def test_the_shortest_batch_that_fits(num_tokens: int, length: int | None) -> None:
    assert fitting_length(num_tokens) == length


def test_twelve_seconds_fit() -> None:
    num_frames = int(np.ceil(12 * 24_000 / 2_048))
    assert 7 * num_frames + 1 + 200 <= LENGTHS[-1]

"""Tests of reading an evaluation."""

import pytest

from tests.training.keep.conftest import write_voice
from training.errors import TrainingError
from training.files import read_json, write_json
from training.folder import TrainingFolder
from training.keep.evaluation import read_evaluation


def test_an_evaluation_is_of_the_weights_that_it_names(folder: TrainingFolder) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    evaluation = read_evaluation(folder.evaluation)
    assert evaluation is not None
    assert evaluation.word_error_rate == 0.2
    assert evaluation.is_of(folder.voice)
    (folder.voice / "speech.json").write_bytes(b"another sampling")
    assert evaluation.is_of(folder.voice)
    (folder.voice / "codec" / "model.safetensors").write_bytes(b"another codec")
    assert not evaluation.is_of(folder.voice)
    assert not evaluation.is_of(folder.root / "none")


@pytest.mark.parametrize("name", ["served", "files"])
def test_an_incomplete_evaluation_is_an_error(folder: TrainingFolder, name: str) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    evaluation = read_json(folder.evaluation)
    write_json(folder.evaluation, {**evaluation, name: {}})
    with pytest.raises(TrainingError, match="states no word error rate through the server, or"):
        read_evaluation(folder.evaluation)


def test_an_evaluation_of_some_utterances_does_not_count(folder: TrainingFolder) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    evaluation = read_json(folder.evaluation)
    write_json(folder.evaluation, {**evaluation, "limit": 10})
    assert read_evaluation(folder.evaluation) is None

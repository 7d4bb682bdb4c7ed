"""Tests of going on from results."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.training.gpu_pack.test_results import FIRST_STEPS, cool
from tests.training.keep.conftest import write_voice
from training.errors import TrainingError
from training.files import hash_file, write_json
from training.folder import TrainingFolder
from training.gpu_pack.pieces import read_pieces, write_pieces
from training.gpu_pack.results import collect, write_results
from training.gpu_pack.taking import take
from training.recipe import FILE
from training.states import finished_folder, newest_step, saved_states
from training.trainer import read_newest


@pytest.fixture
def results(trained: TrainingFolder, tmp_path: Path) -> Path:
    """Results of steps 103, with a last part of the language model."""
    remote = TrainingFolder(tmp_path / "remote")
    shutil.copytree(trained.root, remote.root)
    for path in (remote.language_model, remote.decoder):
        shutil.rmtree(path)
    write_voice(remote, seed=3, word_error_rate=0.1)
    cool(remote.language_model)
    (remote.decoder / "log.jsonl").write_text('{"step": 103}\n')
    (trained.decoder / "log.jsonl").write_text('{"step": 101}\n')
    info = {"pack": "7e57", "encoder": hash_file(remote.encoder)}
    write_results(tmp_path / "results", collect(remote, FIRST_STEPS), info, max_bytes=10**6)
    return tmp_path / "results"


def test_training_goes_on_from_the_results(results: Path, trained: TrainingFolder) -> None:
    assert take(results, trained) == [
        "language_model: from step 101 to 103 with its last part",
        "decoder: from step 101 to 103",
    ]
    for path in (trained.language_model, trained.decoder):
        assert [state.name for state in saved_states(path)] == [
            *("step-00000103.pt", "step-00000101.pt")
        ]
    newest = read_newest(trained.decoder)
    torch.manual_seed(3)
    torch.nn.Linear(8, 8)
    assert newest is not None
    assert (newest["step"], newest["made_from"]) == (103, "7e57")
    assert newest["state"]["optimizer"]["state"][0]["step"] == 1
    assert finished_folder(trained.language_model).name == "cooled-00000101"
    assert (trained.decoder / "log.jsonl").read_text() == '{"step": 101}\n{"step": 103}\n'


def test_taking_twice_changes_nothing(results: Path, trained: TrainingFolder) -> None:
    take(results, trained)
    before = (trained.decoder / "log.jsonl").read_text()
    assert take(results, trained) == [
        "language_model: step 103 is not further than the folder's 103: not taken",
        "decoder: step 103 is not further than the folder's 103: not taken",
    ]
    assert (trained.decoder / "log.jsonl").read_text() == before


def test_a_stage_that_has_not_begun_here_begins(results: Path, trained: TrainingFolder) -> None:
    shutil.rmtree(trained.decoder)
    take(results, trained)
    assert newest_step(trained.decoder) == 103
    assert (trained.decoder / FILE).is_file()


def test_results_of_another_folder_are_refused(results: Path, trained: TrainingFolder) -> None:
    path = trained.decoder / FILE
    write_json(path, {"stage": "decoder", "hash": "another", "made_from": {}})
    with pytest.raises(TrainingError, match="made from 7e57, and .* from another: they do not"):
        take(results, trained)
    trained.encoder.write_bytes(b"another")
    with pytest.raises(TrainingError, match="it belongs to another training folder"):
        take(results, trained)
    assert newest_step(trained.language_model) == newest_step(trained.decoder) == 101


def test_a_mixture_of_results_is_refused(
    results: Path, trained: TrainingFolder, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    contents, info = read_pieces(results)
    write_pieces(other, dict(reversed(contents.items())), info, max_bytes=10**6)
    shutil.copy(other / "piece-1.bin", results / "piece-1.bin")
    with pytest.raises(TrainingError, match="piece-1.bin is cut or belongs to other results"):
        take(results, trained)
    assert newest_step(trained.decoder) == 101


def test_only_states_are_written(results: Path, trained: TrainingFolder) -> None:
    _, info = read_pieces(results)
    write_pieces(results, {"../../.bashrc": b"echo"}, info, max_bytes=10**6)
    with pytest.raises(TrainingError, match=r"holds \.\./\.\./\.bashrc, which is not a state"):
        take(results, trained)

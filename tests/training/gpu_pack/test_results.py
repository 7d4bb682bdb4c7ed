"""Tests of what is given back."""

from pathlib import Path
from typing import Any

import torch

from tests.training.keep.conftest import write_voice
from training.files import write_atomically
from training.folder import TrainingFolder
from training.gpu_pack.pieces import read_pieces
from training.gpu_pack.results import collect, write_results
from training.keep.state_files import to_torch_file, unpack_state
from training.states import Plan, cooled_folder, state_path, write_plan

FIRST_STEPS = {"language_model": 100, "decoder": 100}


def cool(folder: Path) -> None:
    """Writes a complete last part of ten steps, from step 101 on."""
    write_plan(folder, Plan(111, 101, 10))
    state = {"step": 111, "made_from": "7e57", "state": {"model": torch.ones(3)}}
    write_atomically(state_path(cooled_folder(folder, 101), 111), to_torch_file(state))


def read_state(results: Path, name: str) -> dict[str, Any]:
    return unpack_state(read_pieces(results)[0][name], Path(name))


def test_new_states_are_collected_with_their_last_part(trained: TrainingFolder) -> None:
    cool(trained.language_model)
    collected = collect(trained, FIRST_STEPS)
    assert sorted(collected.states) == [
        "decoder/step-00000101.pt",
        "language_model/cooled-00000101/step-00000111.pt",
        "language_model/step-00000101.pt",
    ]
    assert sorted(collected.texts) == [
        *("decoder/recipe.json", "language_model/plan.json", "language_model/recipe.json")
    ]


def test_a_stage_without_a_new_state_gives_nothing(trained: TrainingFolder) -> None:
    collected = collect(trained, {"language_model": 101, "decoder": 100})
    assert list(collected.states) == ["decoder/step-00000101.pt"]
    assert collect(trained, {"decoder": 101}).states == {}


def test_states_are_exact_where_they_fit_and_optimizers_give_way(
    trained: TrainingFolder, tmp_path: Path
) -> None:
    write_voice(trained, seed=1, word_error_rate=0.2)
    collected = collect(trained, FIRST_STEPS)
    results = tmp_path / "results"
    exact = write_results(results, collected, {"pack": "7e57"}, max_bytes=10**6)
    assert exact.startswith("language_model/step-00000101, decoder/step-00000101: ")
    assert exact.endswith("exact")
    name = "decoder/step-00000101.pt"
    optimizer = read_state(results, name)["state"]["optimizer"]["state"][0]
    assert torch.equal(optimizer["exp_avg"], _optimizer(collected.states[name])["exp_avg"])
    size = (results / "piece-1.bin").stat().st_size
    assert write_results(results, collected, {}, max_bytes=size - 1).endswith("rounded")
    size = (results / "piece-1.bin").stat().st_size
    assert write_results(results, collected, {}, max_bytes=size - 1).endswith("without optimizers")
    weights = read_state(results, name)["state"]["decoder"]["weight"]
    assert torch.equal(weights, collected.states[name]["state"]["decoder"]["weight"])
    before = read_pieces(results)
    assert write_results(results, collected, {}, max_bytes=10).endswith("not written")
    assert read_pieces(results) == before


def test_nothing_is_written_before_there_is_a_new_state(
    trained: TrainingFolder, tmp_path: Path
) -> None:
    collected = collect(trained, {"decoder": 101})
    assert write_results(tmp_path / "results", collected, {}, max_bytes=10) == "no new state yet"
    assert not (tmp_path / "results").exists()


def _optimizer(state: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = state["state"]["optimizer"]["state"][0]
    return found

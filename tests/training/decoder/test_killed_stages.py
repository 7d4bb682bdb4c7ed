import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.decoder.killed_stages import KILLED_AT_STEP, PLAN, STAGES, freeze, prepare
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.settings import ROOT
from training.shards import shard_numbers
from training.states import finished_folder, newest_step, num_steps_done, saved_states
from training.trainer import read_newest

TRAINED = ("codes", "decoder")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages, each killed in the middle by a real SIGKILL."""
    root = tmp_path_factory.mktemp("killed")
    command = (sys.executable, "-m", "tests.training.decoder.killed_stages", str(root))
    subprocess.run(command, cwd=ROOT, check=True)
    return root


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same stages without an interruption."""
    root = tmp_path_factory.mktemp("at_once")
    for stage, run in STAGES.items():
        run(prepare(root / stage))
    return root


def _state(folder: Path) -> dict[str, Any]:
    found = read_newest(finished_folder(folder))
    assert found is not None
    return found


def _tokens(folder: TrainingFolder) -> dict[int, bytes]:
    numbers = shard_numbers(folder.tokens)
    return {number: (folder.tokens / f"{number:05}.safetensors").read_bytes() for number in numbers}


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, torch.Tensor):
        return torch.equal(found, wanted)
    if isinstance(wanted, Mapping):
        return found.keys() == wanted.keys() and all(_equal(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_equal, found, wanted))
    return bool(found == wanted)


@pytest.mark.parametrize("stage", TRAINED)
def test_a_killed_stage_goes_on_bit_for_bit(killed: Path, at_once: Path, stage: str) -> None:
    folder, whole = TrainingFolder(killed / stage), TrainingFolder(at_once / stage)
    states = folder.root / "1" / stage
    assert newest_step(states) == KILLED_AT_STEP
    STAGES[stage](folder)
    assert num_steps_done(states, PLAN) == PLAN.num_steps
    assert _equal(_state(states), _state(whole.root / "1" / stage))
    assert folder.encoder.read_bytes() == whole.encoder.read_bytes()


def test_killed_tokens_go_on_with_the_same_shards(killed: Path, at_once: Path) -> None:
    folder, whole = TrainingFolder(killed / "tokens"), TrainingFolder(at_once / "tokens")
    first = _tokens(folder)
    assert list(first) == [0]
    # The kill came while the second shard was being written.
    (partial,) = folder.tokens.glob(".partial-*")
    assert partial.name.endswith("-00001.safetensors")
    STAGES["tokens"](folder)
    assert _tokens(folder) == _tokens(whole)
    assert _tokens(folder)[0] == first[0]


@pytest.mark.parametrize("stage", TRAINED)
def test_a_cut_state_falls_back_to_the_one_before(at_once: Path, stage: str) -> None:
    states = at_once / stage / "1" / stage
    newest = saved_states(states)[0]
    whole = newest.read_bytes()
    older = states / "step-00000001.pt"
    torch.save({"step": 1}, older)
    for size in random.Random(3).sample(range(len(whole)), 10):
        newest.write_bytes(whole[:size])
        assert read_newest(states) == {"step": 1}
    newest.write_bytes(whole)
    older.unlink()


def test_cut_tokens_are_made_again(at_once: Path) -> None:
    folder = TrainingFolder(at_once / "tokens")
    whole = _tokens(folder)
    path = folder.tokens / "00001.safetensors"
    for size in random.Random(3).sample(range(len(whole[1])), 10):
        path.write_bytes(whole[1][:size])
        STAGES["tokens"](folder)
        assert _tokens(folder) == whole


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    tmp_path: Path, at_once: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    folder = prepare(tmp_path)
    if stage != "codes":
        freeze(folder)
    product = folder.root / "1" / stage

    def fail(_: int) -> None:
        # Recipe and plan are written before the first product.
        if (product / "recipe.json").exists():
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(TrainingError, match="No space left on device"):
            STAGES[stage](folder)
    assert not list(product.glob("*.partial-*"))
    STAGES[stage](folder)
    whole = TrainingFolder(at_once / stage)
    if stage == "tokens":
        assert _tokens(folder) == _tokens(whole)
    else:
        assert _equal(_state(product), _state(whole.root / "1" / stage))

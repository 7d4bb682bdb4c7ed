"""Tests of states in fewer bytes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from training.errors import TrainingError
from training.keep.state_files import (
    BFLOAT16_WEIGHTS,
    EXACT,
    ROUNDED_OPTIMIZERS,
    pack_state,
    to_torch_file,
    unpack_state,
)
from training.shards import CutShard

PATH = Path("state.safetensors")


def train_a_step() -> dict[str, Any]:
    """Returns a state like the language model's: tied weights, two optimizers."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 4)
    optimizers = [torch.optim.AdamW([model.bias]), torch.optim.Muon([model.weight])]
    model(torch.randn(2, 3)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    return {
        "step": 7,
        "made_from": "7e57",
        "state": {
            "model": {**model.state_dict(), "tied": model.weight},
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "shards": [0, 3],
            "usage": torch.arange(5),
            "config": {"size": 4, "name": None, "is_tied": True},
        },
    }


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected) or isinstance(expected, torch.nn.Parameter | dict)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    else:
        assert found == expected


def test_an_exact_state_comes_back_as_it_was() -> None:
    state = train_a_step()
    assert_equal(unpack_state(pack_state(state, EXACT), PATH), state)


def test_the_training_loop_reads_what_was_unpacked(tmp_path: Path) -> None:
    state = train_a_step()
    (tmp_path / "state.pt").write_bytes(to_torch_file(unpack_state(pack_state(state), PATH)))
    assert_equal(torch.load(tmp_path / "state.pt", weights_only=True), state)


def test_optimizers_are_rounded_but_not_their_steps() -> None:
    state = train_a_step()
    found = unpack_state(pack_state(state, ROUNDED_OPTIMIZERS), PATH)
    assert_equal(found["state"]["model"], state["state"]["model"])
    before, after = (each["state"]["optimizers"][0]["state"][0] for each in (state, found))
    assert torch.equal(after["exp_avg"], before["exp_avg"].bfloat16().float())
    assert_equal(after["step"], before["step"])


def test_weights_in_half_precision_have_optimizers_at_their_start() -> None:
    state = train_a_step()
    data = pack_state(state, BFLOAT16_WEIGHTS)
    assert len(data) < len(pack_state(state))
    found = unpack_state(data, PATH)
    weight = state["state"]["model"]["weight"]
    assert_equal(found["state"]["model"]["weight"], weight.bfloat16().float())
    assert_equal(found["state"]["usage"], state["state"]["usage"])
    for before, after in zip(
        state["state"]["optimizers"], found["state"]["optimizers"], strict=True
    ):
        assert_equal(after["param_groups"], before["param_groups"])
        for name, tensor in after["state"][0].items():
            assert_equal(tensor, torch.zeros_like(before["state"][0][name]))


def test_the_embeddings_of_a_language_model_are_exact() -> None:
    # Their table is calculated before it is rounded: rounded twice, the voice would be another one.
    weights = {"embeddings.prompt": torch.rand(3), "model.norm.weight": torch.rand(3)}
    state = {"state": {"model": weights}}
    found = unpack_state(pack_state(state, BFLOAT16_WEIGHTS), PATH)["state"]["model"]
    assert_equal(found["embeddings.prompt"], weights["embeddings.prompt"])
    assert_equal(found["model.norm.weight"], weights["model.norm.weight"].bfloat16().float())


def test_an_optimizer_goes_on_from_its_start() -> None:
    found = unpack_state(pack_state(train_a_step(), BFLOAT16_WEIGHTS), PATH)
    bias = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.AdamW([bias], lr=1.0, weight_decay=0)
    optimizer.load_state_dict(found["state"]["optimizers"][0])
    optimizer.param_groups[0]["lr"] = 0.25
    bias.grad = torch.ones(4)
    optimizer.step()
    # The first step of Adam is as large as the learning rate.
    assert torch.allclose(bias, torch.full((4,), -0.25))


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_cut_state_is_one_line(size: int) -> None:
    data = pack_state(train_a_step())
    with pytest.raises(CutShard, match="state.safetensors is cut or is not a state") as raised:
        unpack_state(data[:size], PATH)
    assert "\n" not in str(raised.value)


def test_other_types_are_an_error() -> None:
    with pytest.raises(TrainingError, match="a state holds a set, which cannot be stored"):
        pack_state({"state": {1, 2}})

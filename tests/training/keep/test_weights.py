"""Tests of the rule for the weights."""

import pytest
import torch

from tests.training.keep.conftest import write_voice
from training.errors import TrainingError
from training.files import read_json, write_json
from training.folder import TrainingFolder
from training.keep import folder as kept_folder
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex, KeptWeights, check_kept_files, load_index
from training.keep.weights import judge, keep_weights, restore_weights
from training.states import saved_states
from training.trainer import read_newest


def weights(name: str, word_error_rate: float) -> KeptWeights:
    return KeptWeights({"language_model.safetensors": name}, 100, word_error_rate)


def test_the_first_weights_are_kept() -> None:
    assert judge(KeptIndex(), weights("a", 0.9)).is_kept


@pytest.mark.parametrize(("rate", "is_kept"), [(0.09, True), (0.1, False), (0.11, False)])
def test_only_a_lower_word_error_rate_replaces(rate: float, is_kept: bool) -> None:
    assert judge(KeptIndex(weights=[weights("a", 0.1)]), weights("b", rate)).is_kept == is_kept


def test_the_kept_weights_do_not_replace_themselves() -> None:
    verdict = judge(KeptIndex(weights=[weights("a", 0.1)]), weights("a", 0.05))
    assert (verdict.is_kept, verdict.reason) == (False, "these are kept already")


def test_weights_are_replaced_at_most_twice() -> None:
    index = KeptIndex(weights=[weights("a", 0.3), weights("b", 0.2)])
    assert judge(index, weights("c", 0.1)).is_kept
    index.weights.append(weights("c", 0.1))
    with pytest.raises(TrainingError, match="replaced 2 times and history keeps") as raised:
        judge(index, weights("d", 0.05))
    assert "\n" not in str(raised.value)
    assert judge(index, weights("d", 0.05), is_replaced_again=True).is_kept
    assert not judge(index, weights("d", 0.15)).is_kept


def test_better_weights_replace_the_kept_ones(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    write_voice(folder, seed=1, word_error_rate=0.2)
    assert keep_weights(kept, index, folder) == "word error rate 0.200, the first ones kept"
    write_voice(folder, seed=2, word_error_rate=0.1)
    reason = "word error rate 0.100, the kept ones' 0.200: better"
    assert keep_weights(kept, index, folder) == reason
    assert sorted(path.name for path in kept.weights.iterdir()) == [
        *("decoder.json", "decoder.safetensors", "evaluation.json"),
        *("language_model.json", "language_model.safetensors"),
    ]
    assert read_json(kept.weights / "evaluation.json") == read_json(folder.evaluation)
    assert [each.word_error_rate for each in load_index(kept).weights] == [0.2, 0.1]
    check_kept_files(kept, load_index(kept))
    assert sorted(path.name for path in kept.root.iterdir()) == ["index.json", "weights"]


def test_worse_weights_change_nothing(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    write_voice(folder, seed=1, word_error_rate=0.2)
    keep_weights(kept, index, folder)
    before = {path.name: path.read_bytes() for path in kept.weights.iterdir()}
    write_voice(folder, seed=2, word_error_rate=0.3)
    assert keep_weights(kept, index, folder).endswith("not better, the kept ones stay")
    assert {path.name: path.read_bytes() for path in kept.weights.iterdir()} == before
    assert len(load_index(kept).weights) == 1


def test_only_an_evaluated_voice_is_kept(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    assert keep_weights(kept, index, folder).startswith("no evaluated voice yet")
    write_voice(folder, seed=1, word_error_rate=0.2)
    (folder.voice / "model.safetensors").write_bytes(b"packaged again")
    assert "is not the voice that was evaluated" in keep_weights(kept, index, folder)
    evaluation = read_json(folder.evaluation)
    write_json(folder.evaluation, {**evaluation, "limit": 10})
    assert "is of some utterances only" in keep_weights(kept, index, folder)
    write_voice(folder, seed=1, word_error_rate=0.2)
    for path in saved_states(folder.decoder):
        path.rename(path.with_name("step-00000999.pt"))
    (newest,) = saved_states(folder.decoder)
    state = torch.load(newest, weights_only=True)
    torch.save({**state, "step": 999}, newest)
    assert "was not packaged from the newest weights" in keep_weights(kept, index, folder)
    assert not kept.root.exists()


def test_weights_that_do_not_fit_are_one_line(
    folder: TrainingFolder, kept: KeptFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_folder, "MAX_TOTAL_BYTES", 1_000)
    write_voice(folder, seed=1, word_error_rate=0.2)
    with pytest.raises(TrainingError, match="nothing was added"):
        keep_weights(kept, KeptIndex(), folder)
    assert not kept.root.exists()


def test_stages_without_a_state_go_on_from_the_kept_weights(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    keep_weights(kept, KeptIndex(), folder)
    fresh = TrainingFolder(folder.root / "fresh")
    restore_weights(kept, fresh, ("decoder",))
    assert not fresh.language_model.exists()
    assert not fresh.evaluation.exists()
    restore_weights(kept, fresh, ("decoder", "language_model"))
    assert read_json(fresh.evaluation) == read_json(folder.evaluation)
    for name, dtype in (("decoder", torch.float16), ("language_model", torch.bfloat16)):
        before, after = (read_newest(getattr(each, name)) for each in (folder, fresh))
        assert before is not None
        assert after is not None
        assert (after["step"], after["made_from"]) == (before["step"], before["made_from"])
        for key, value in before["state"][name.removeprefix("language_")].items():
            found = after["state"][name.removeprefix("language_")][key]
            assert torch.equal(found, value.to(dtype).float())


def test_a_stage_that_has_a_state_keeps_it(folder: TrainingFolder, kept: KeptFolder) -> None:
    write_voice(folder, seed=1, word_error_rate=0.2)
    keep_weights(kept, KeptIndex(), folder)
    write_voice(folder, seed=2, word_error_rate=0.3)
    before = {path.name: path.read_bytes() for path in folder.language_model.iterdir()}
    restore_weights(kept, folder, ("decoder", "language_model"))
    assert {path.name: path.read_bytes() for path in folder.language_model.iterdir()} == before

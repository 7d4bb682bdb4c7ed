from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.codec.ears import ScriptedEar, write_held_out
from tests.training.codec.speech import TINY, write_speech
from training.codec.frozen import load_frozen
from training.codec.judgement import Judge
from training.codes.__main__ import CodesStage
from training.codes.trainee import CodesRecipe
from training.distributed import World
from training.errors import TrainingError
from training.files import hash_file, read_json
from training.folder import TrainingFolder
from training.recipe import Recipe, claim
from training.states import Plan, split_steps
from training.trainer import Limits

RECIPE = CodesRecipe(batch_size=1, segment_frames=2)


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    folder = TrainingFolder(tmp_path)
    speech = Recipe("speech", {"teacher": "made up"})
    claim(folder.speech, speech)
    write_speech(folder.speech, made_from=speech.hash)
    return folder


def _train(folder: TrainingFolder, num_steps: int, recipe: CodesRecipe = RECIPE) -> bool:
    return _stage(folder, recipe).train(split_steps(num_steps), Limits(), is_compiled=False)


def _stage(folder: TrainingFolder, recipe: CodesRecipe = RECIPE) -> CodesStage:
    return CodesStage(folder, TINY, recipe, World())


def test_a_budget_ends_with_a_frozen_encoder(folder: TrainingFolder) -> None:
    assert _train(folder, 5)
    assert load_frozen(folder.encoder).config == TINY
    first = hash_file(folder.encoder)
    assert _train(folder, 5)
    assert hash_file(folder.encoder) == first
    assert _train(folder, 10)
    assert hash_file(folder.encoder) != first


@pytest.mark.parametrize("product", ["tokens/00000.safetensors", "decoder/step-00000100.pt"])
def test_an_encoder_in_use_is_not_replaced(folder: TrainingFolder, product: str) -> None:
    _train(folder, 5)
    first = hash_file(folder.encoder)
    path = folder.codes.parent / product
    path.parent.mkdir()
    path.touch()
    with pytest.raises(TrainingError, match="is in use: .* NEW_CODEC=1"):
        _train(folder, 10)
    assert hash_file(folder.encoder) == first


def test_another_recipe_is_refused(folder: TrainingFolder) -> None:
    _train(folder, 5)
    with pytest.raises(TrainingError, match="made from something else"):
        _train(folder, 5, CodesRecipe(batch_size=2, segment_frames=2))


def test_speech_must_exist(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage speech first"):
        _train(TrainingFolder(tmp_path), 5)


def test_an_unfinished_state_can_be_frozen(folder: TrainingFolder) -> None:
    with pytest.raises(TrainingError, match="run the stage codes first"):
        _stage(folder).freeze()
    _stage(folder).train(Plan(100, 3, 97), Limits(is_stopped=_after(5)), is_compiled=False)
    assert not folder.encoder.exists()
    _stage(folder).freeze()
    assert load_frozen(folder.encoder).config == TINY


def test_newest_codes_are_judged_as_freezing_would_round_them(folder: TrainingFolder) -> None:
    write_held_out(folder)
    ear = ScriptedEar()
    stage, judge = _stage(folder), Judge(folder, folder.codes, ear)
    with pytest.raises(TrainingError, match="run the stage codes first"):
        stage.judge(judge)
    stage.train(Plan(100, 3, 97), Limits(is_stopped=_after(5)), is_compiled=False)
    table = stage.judge(judge)
    assert table is not None
    assert list(table) == ["teacher", "mels", "codes"]
    assert not folder.encoder.exists()
    num_files = len(ear.paths)
    stage.freeze()
    assert stage.judge(judge) == table
    assert len(ear.paths) == num_files
    (record,) = read_json(folder.codes / "judged.json")
    assert record["identity"] == hash_file(folder.encoder)
    assert record["step"] == 3


def _after(num_calls: int) -> Callable[[], bool]:
    calls = iter(range(num_calls))
    return lambda: next(calls, None) is None

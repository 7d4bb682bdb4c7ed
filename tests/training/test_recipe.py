from pathlib import Path

import pytest

from training.errors import TrainingError
from training.files import read_json
from training.recipe import Recipe, claim, read_recipe_hash


def test_a_folder_is_claimed_by_one_recipe(tmp_path: Path) -> None:
    recipe = Recipe("speech", {"texts": "abc", "seed": 1})
    claim(tmp_path, recipe)
    claim(tmp_path, Recipe("speech", {"seed": 1, "texts": "abc"}))
    assert read_recipe_hash(tmp_path) == recipe.hash
    record = read_json(tmp_path / "recipe.json")
    assert record["stage"] == "speech"
    assert record["made_from"] == {"texts": "abc", "seed": 1}
    assert record["versions"]["python"].startswith("3.")
    assert "commit" in record
    assert "processor" in record


def test_a_mixture_is_refused_in_one_line(tmp_path: Path) -> None:
    claim(tmp_path, Recipe("speech", {"texts": "abc", "seed": 1}))
    before = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(TrainingError) as raised:
        claim(tmp_path, Recipe("speech", {"texts": "def", "seed": 1}))
    assert str(raised.value) == (
        f"{tmp_path} was made from something else (texts abc -> def): "
        "set TRAINING_DIR to another folder, or NEW_CODEC=1 for what follows the codec"
    )
    assert (tmp_path / "recipe.json").read_bytes() == before


def test_a_stage_that_has_not_begun_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage texts first"):
        read_recipe_hash(tmp_path / "texts")

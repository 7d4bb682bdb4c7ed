import json
from dataclasses import replace
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.settings import TrainingSettings
from training.texts.recipe import speaker_names, texts_recipe

from .conftest import SPEAKERS
from .small_wordnet import write_wordnet


def test_it_depends_on_wordnet_and_on_the_speakers_names(
    settings: TrainingSettings, tmp_path: Path
) -> None:
    recipe = texts_recipe(settings)
    assert recipe.stage == "texts"
    assert recipe.made_from["speakers"] == [*SPEAKERS]
    other = write_wordnet(tmp_path / "other")
    assert texts_recipe(replace(settings, wordnet_dir=other)).hash == recipe.hash
    with (other / "data.adv").open("a") as file:
        file.write("\n")
    assert texts_recipe(replace(settings, wordnet_dir=other)).hash != recipe.hash
    names = [{"name": name, "pace": 1.5} for name in SPEAKERS]
    settings.speakers_file.write_text(json.dumps({"speakers": names}))
    assert texts_recipe(settings).hash == recipe.hash
    settings.speakers_file.write_text(json.dumps({"speakers": names[:-1]}))
    assert texts_recipe(settings).hash != recipe.hash


@pytest.mark.parametrize("content", ["[]", "{}", '{"speakers": []}', '{"speakers": [{"a": 1}]}'])
def test_a_file_without_speakers_is_an_error(content: str, tmp_path: Path) -> None:
    file = tmp_path / "speakers.json"
    file.write_text(content)
    with pytest.raises(TrainingError, match=r"must be \{\"speakers\""):
        speaker_names(file)

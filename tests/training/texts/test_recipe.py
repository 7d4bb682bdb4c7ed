import json
from dataclasses import replace
from pathlib import Path

from training.settings import TrainingSettings
from training.texts.recipe import texts_recipe

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
    names = [{"name": name, "style": "af_nova", "pace": 1.5} for name in SPEAKERS]
    settings.speakers_file.write_text(json.dumps({"speakers": names}))
    assert texts_recipe(settings).hash == recipe.hash
    settings.speakers_file.write_text(json.dumps({"speakers": names[:-1]}))
    assert texts_recipe(settings).hash != recipe.hash

"""The speakers' data file."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.training.speech.scripted_teacher import SPEAKERS
from training.errors import TrainingError
from training.speech.speakers import load_speakers

NINTH = {"name": "ava", "style": "af_sky"}


def write(folder: Path, *entries: Any) -> Path:
    path = folder / "speakers.json"
    path.write_text(json.dumps({"speakers": list(entries)}))
    return path


def test_the_speakers_of_the_voice() -> None:
    names = [speaker.name for speaker in load_speakers(SPEAKERS)]
    assert names == ["tara", "leah", "jess", "mia", "zoe", "leo", "dan", "zac"]


def test_a_line_adds_a_speaker(tmp_path: Path) -> None:
    (speaker,) = load_speakers(write(tmp_path, NINTH))
    assert speaker.styles == {"af_sky"}
    assert speaker.resample == 1
    assert speaker.pace == 1


def test_styles_are_mixed(tmp_path: Path) -> None:
    mix = {"timbre": {"af_sky": 0.25, "af_bella": 0.75}, "prosody": "af_nova"}
    (speaker,) = load_speakers(write(tmp_path, {"name": "ava", "style": mix, "resample": 1.08}))
    assert speaker.timbre.weights == {"af_sky": 0.25, "af_bella": 0.75}
    assert speaker.prosody.weights == {"af_nova": 1.0}
    assert speaker.resample == Fraction(27, 25)


def test_only_the_sound_is_in_the_recipe(tmp_path: Path) -> None:
    (before,) = load_speakers(write(tmp_path, NINTH))
    (after,) = load_speakers(write(tmp_path, {**NINTH, "description": "a ninth speaker"}))
    (slower,) = load_speakers(write(tmp_path, {**NINTH, "pace": 0.9}))
    assert before.recipe() == after.recipe() != slower.recipe()
    assert json.loads(json.dumps(before.recipe())) == before.recipe()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"style": "af_sky"}, "must be an object with a name"),
        ("ava", "must be an object with a name"),
        ({**NINTH, "name": "Ava Lou"}, "a name consists of"),
        ({**NINTH, "speed": 2}, "unknown field 'speed'; allowed: description, language, name"),
        ({**NINTH, "pace": 5}, "pace is 5; it must be from 0.5 to 2.0"),
        ({**NINTH, "resample": "1"}, "resample is '1'"),
        ({**NINTH, "language": "fr-fr"}, "language 'fr-fr'; allowed: en-us"),
        ({"name": "ava"}, "style None must be a name"),
        ({"name": "ava", "style": "../secret"}, "must be a name"),
        ({"name": "ava", "style": {"af_sky": 0.5}}, "weights that add up to 1"),
        ({"name": "ava", "style": {"af_sky": "all"}}, "weights that add up to 1"),
    ],
)
def test_a_bad_speaker_is_refused(tmp_path: Path, entry: Any, message: str) -> None:
    path = write(tmp_path, entry)
    with pytest.raises(TrainingError) as error:
        load_speakers(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_name_may_be_there_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="speaker 'ava' is there twice"):
        load_speakers(write(tmp_path, NINTH, NINTH))


@pytest.mark.parametrize("content", ["[]", "{}", '{"speakers": []}', '{"speakers": {}}'])
def test_a_file_without_speakers_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "speakers.json"
    path.write_text(content)
    with pytest.raises(TrainingError, match="with at least one speaker"):
        load_speakers(path)

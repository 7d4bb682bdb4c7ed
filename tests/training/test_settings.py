from pathlib import Path

import pytest

from training.errors import TrainingError
from training.folder import TrainingFolder, current_folder
from training.settings import load_settings


def test_defaults_lie_outside_the_repository() -> None:
    settings = load_settings({"XDG_CACHE_HOME": "/cache"})
    assert settings.folder == Path("/cache/orpheus-training")
    assert settings.styles_dir == Path("/cache/orpheus-training/styles")
    assert settings.speech_hours == 12.0
    assert settings.num_processes == 2
    assert not settings.is_new_codec


def test_settings_from_the_environment() -> None:
    settings = load_settings(
        {
            "TRAINING_DIR": "/data",
            "TRAINING_SPEECH_HOURS": "1.5",
            "TRAINING_CODES_STEPS": "100",
            "TRAINING_COMPILE": "0",
            "NEW_CODEC": "1",
        }
    )
    assert settings.folder == Path("/data")
    assert settings.speech_hours == 1.5
    assert settings.codes_steps == 100
    assert not settings.is_compiled
    assert settings.is_new_codec


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRAINING_SPEECH_HOURS", "-1", "TRAINING_SPEECH_HOURS is '-1': it must be a number above"),
        ("TRAINING_SPEECH_HOURS", "nan", "it must be a number above 0"),
        ("TRAINING_SPEECH_HOURS", "inf", "it must be a number above 0"),
        ("TRAINING_CODES_STEPS", "1.5", "it must be a whole number above 0"),
        ("TRAINING_COMPILE", "yes", "TRAINING_COMPILE is 'yes': it must be 0 or 1"),
        ("TRAINING_SPEACH_HOURS", "1", "unknown setting TRAINING_SPEACH_HOURS"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        load_settings({name: value})


def test_the_newest_generation_is_current(tmp_path: Path) -> None:
    settings = load_settings({"TRAINING_DIR": str(tmp_path)})
    assert current_folder(settings) == TrainingFolder(tmp_path, 1)
    for name in ("2", "10", "styles"):
        (tmp_path / name).mkdir()
    assert current_folder(settings).codes == tmp_path / "10" / "codes"

import sys
from pathlib import Path

import pytest

from training.chain import Stage, Work
from training.folder import TrainingFolder
from training.run import commands, new_or_current_folder
from training.settings import TrainingSettings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> TrainingSettings:
    return load_settings(
        {"TRAINING_DIR": str(tmp_path), "TRAINING_PYTHON": "/teacher/python", "NEW_CODEC": "1"}
    )


def test_training_runs_in_processes_that_meet(settings: TrainingSettings) -> None:
    made = commands(Work(Stage.CODES, is_training=True), TrainingFolder(settings.folder), settings)
    port = made[0][made[0].index("--port") + 1]
    common = ("-m", "training.codes", "--minutes", "30", "--world", "2", "--port", port, "--rank")
    assert made == [(sys.executable, *common, "0"), (sys.executable, *common, "1")]


def test_speech_runs_in_workers_of_the_other_environment(settings: TrainingSettings) -> None:
    work = Work(Stage.SPEECH, ("--held-out",), has_workers=True, needs_teacher=True)
    common = ("/teacher/python", "-m", "training.speech", "--held-out", "--worker")
    assert commands(work, TrainingFolder(settings.folder), settings) == [
        (*common, "0", "--workers", "2"),
        (*common, "1", "--workers", "2"),
    ]


def test_the_checkpoint_is_evaluated(settings: TrainingSettings) -> None:
    folder = TrainingFolder(settings.folder, 3)
    made = commands(Work(Stage.EVALUATE), folder, settings)
    assert made == [(sys.executable, "-m", "training.evaluate", str(folder.voice))]


def test_a_new_codec_lies_beside_the_one_that_has_tokens(settings: TrainingSettings) -> None:
    assert new_or_current_folder(settings).generation == 1
    assert new_or_current_folder(settings).generation == 1
    tokens = TrainingFolder(settings.folder, 1).tokens
    tokens.mkdir()
    (tokens / "00000.safetensors").touch()
    assert new_or_current_folder(settings).generation == 2
    # It has no tokens yet: a second start goes on with it.
    assert new_or_current_folder(settings).generation == 2


def test_without_the_setting_the_newest_codec_goes_on(tmp_path: Path) -> None:
    settings = load_settings({"TRAINING_DIR": str(tmp_path)})
    tokens = TrainingFolder(tmp_path, 1).tokens
    tokens.mkdir(parents=True)
    (tokens / "00000.safetensors").touch()
    assert new_or_current_folder(settings).generation == 1

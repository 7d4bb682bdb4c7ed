import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.preflight import check_installed, check_machine, hint, needs
from training.settings import ROOT, TrainingSettings, load_settings


def settings(folder: Path, **environ: str) -> TrainingSettings:
    """Settings of a machine where everything is there."""
    (folder / "wordnet").mkdir(parents=True, exist_ok=True)
    (folder / "wordnet" / "data.noun").touch()
    (folder / "styles").mkdir(exist_ok=True)
    (folder / "styles" / "af_heart.bin").touch()
    return load_settings(
        {
            "TRAINING_DIR": str(folder / "training"),
            "TRAINING_WORDNET_DIR": str(folder / "wordnet"),
            "TRAINING_STYLES_DIR": str(folder / "styles"),
            "TRAINING_PYTHON": sys.executable,
            **environ,
        }
    )


def test_nothing_is_missing(tmp_path: Path) -> None:
    complete = settings(tmp_path)
    check_machine(complete)
    check_installed(complete)
    assert not complete.folder.exists()


def test_wordnet_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="/none has no WordNet: apt-get install wordnet-base"):
        check_machine(settings(tmp_path, TRAINING_WORDNET_DIR="/none"))


def test_npm_is_needed_only_without_styles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check_machine(settings(tmp_path))
    with pytest.raises(TrainingError, match="npm is missing, .*: apt-get install npm"):
        check_machine(settings(tmp_path, TRAINING_STYLES_DIR=str(tmp_path / "none")))


def test_the_disk_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"GB free and needs 2000001\.5 GB more"):
        check_machine(settings(tmp_path, TRAINING_SPEECH_HOURS="10000000"))


@pytest.mark.parametrize("name", ["TRAINING_PYTHON", "TRAINING_STYLES_DIR"])
def test_what_make_installs_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainingError, match=r"/none .*: make train-setup$"):
        check_installed(settings(tmp_path, **{name: "/none"}))


def test_what_a_run_takes(tmp_path: Path) -> None:
    assert needs(settings(tmp_path, TRAINING_PYTHON="/none")) == (
        "training: 12 h of speech: 0.8 GB for teacher and ear, "
        f"3.9 GB in {tmp_path / 'training'}, at most 4 GiB of memory, "
        "days of two cores (make train-status: hours left)"
    )


def test_the_command_says_it_before_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-S", "-m", "training.preflight"),
        cwd=ROOT,
        env={"TRAINING_DIR": str(tmp_path), "TRAINING_WORDNET_DIR": "/none"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout.startswith("training: 12 h of speech: ")
    assert done.stderr == (
        "training: /none has no WordNet: apt-get install wordnet-base, "
        "or set TRAINING_WORDNET_DIR to a folder with its data files\n"
    )


def test_a_new_folder_is_told_of_what_is_kept(tmp_path: Path) -> None:
    index = tmp_path / "kept" / "index.json"
    new = settings(tmp_path)
    assert hint(new, index) is None
    index.parent.mkdir()
    index.touch()
    assert hint(new, index) == (
        f"training: {new.folder} is new; to go on from the codec and the tokens in "
        f"{index.parent}, stop this and run: make train-restore"
    )
    (new.folder / "texts").mkdir(parents=True)
    assert hint(new, index) is None

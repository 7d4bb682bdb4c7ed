"""What a run needs, checked before anything is downloaded. Standard library only."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from training.errors import TrainingError
from training.settings import ROOT, TrainingSettings, load_settings
from training.stage import run_stage

DISK_GB_PER_HOUR = 0.2
"""Speech is 0.17 GB an hour (two bytes a sample); texts and tokens are the rest."""
DISK_GB_OTHER = 1.5
"""The teacher (0.35 GB), the states of the models and the compiler's cache."""
ENVIRONMENT_GB = 0.8
KEPT_INDEX = ROOT / "models" / "pocket-training" / "index.json"


def check_machine(settings: TrainingSettings) -> None:
    """Checks what make does not install. Raises `TrainingError` with the command that brings it."""
    if not (settings.wordnet_dir / "data.noun").is_file():
        raise TrainingError(
            f"{settings.wordnet_dir} has no WordNet: apt-get install wordnet-base, "
            "or set TRAINING_WORDNET_DIR to a folder with its data files"
        )
    if not _has_styles(settings) and shutil.which("npm") is None:
        raise TrainingError(
            "npm is missing, which brings the teacher's speakers: apt-get install npm, "
            "or set TRAINING_STYLES_DIR to the folder voices/ of npm's package kokoro-js"
        )
    needed_gb = DISK_GB_OTHER + DISK_GB_PER_HOUR * settings.speech_hours
    free_gb = shutil.disk_usage(_existing(settings.folder)).free / 1e9
    used_gb = _size_gb(settings.folder)
    if free_gb + used_gb < needed_gb:
        raise TrainingError(
            f"{settings.folder} has {free_gb:.1f} GB free and needs {needed_gb - used_gb:.1f} GB "
            "more: set TRAINING_DIR to a larger disk, or TRAINING_SPEECH_HOURS to less"
        )


def check_installed(settings: TrainingSettings) -> None:
    """Checks what make installs, for runs that are started without it."""
    if not settings.teacher_python.is_file():
        raise TrainingError(
            f"{settings.teacher_python} is missing, the environment of teacher and ear: "
            "make train-setup"
        )
    if not _has_styles(settings):
        raise TrainingError(
            f"{settings.styles_dir} has no styles of the teacher's speakers: make train-setup"
        )


def needs(settings: TrainingSettings) -> str:
    """Returns what the run takes, in one line."""
    disk_gb = DISK_GB_OTHER + DISK_GB_PER_HOUR * settings.speech_hours
    has_environment = settings.teacher_python.is_file()
    environment = "" if has_environment else f"{ENVIRONMENT_GB:g} GB for teacher and ear, "
    return (
        f"training: {settings.speech_hours:g} h of speech: {environment}"
        f"{disk_gb:.1f} GB in {settings.folder}, at most {settings.max_memory_gib:g} GiB of "
        "memory, days of two cores (make train-status: hours left)"
    )


def hint(settings: TrainingSettings, kept: Path = KEPT_INDEX) -> str | None:
    """Returns a line for a new training folder if the repository has the products of another."""
    if (settings.folder / "texts").exists() or not kept.is_file():
        return None
    return (
        f"training: {settings.folder} is new; to go on from the codec and the tokens in "
        f"{kept.parent}, stop this and run: make train-restore"
    )


def _has_styles(settings: TrainingSettings) -> bool:
    return any(settings.styles_dir.glob("*.bin"))


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _size_gb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def main(arguments: Sequence[str]) -> None:
    del arguments
    settings = load_settings()
    print(needs(settings), flush=True)
    if line := hint(settings):
        print(line, flush=True)
    check_machine(settings)


if __name__ == "__main__":
    run_stage(main)

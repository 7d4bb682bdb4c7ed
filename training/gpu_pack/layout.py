"""Names of the files in a pack, and the folders of the stages that it is for."""

from pathlib import Path

from training.folder import TrainingFolder

STAGES = ("language_model", "decoder")
MANIFEST = "pack.json"
SPEECH_INDEX = "speech.json"
SAMPLE_RATE = 24_000


def stage_folder(folder: TrainingFolder, stage: str) -> Path:
    return {"language_model": folder.language_model, "decoder": folder.decoder}[stage]


def opus_path(folder: Path, number: int) -> Path:
    """Returns the file of a speech shard."""
    return folder / f"{number:05}.opus"


def num_bytes(folder: Path) -> int:
    """Returns the size of all files together."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

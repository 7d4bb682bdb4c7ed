"""Files that are kept once and never change: the encoder, held-out texts and recipes."""

from pathlib import Path

from training.errors import TrainingError
from training.files import hash_file, read_json, write_atomically
from training.folder import TrainingFolder
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex
from training.recipe import FILE


def fixed_files(folder: TrainingFolder) -> dict[str, Path]:
    """Returns the files by their name in the kept folder."""
    recipes = {
        "texts": folder.texts,
        "speech": folder.speech,
        "codes": folder.codes,
        "tokens": folder.tokens,
    }
    return {
        "encoder.safetensors": folder.encoder,
        "held_out.json": folder.texts / "held_out.json",
        **{f"recipes/{stage}.json": path / FILE for stage, path in recipes.items()},
    }


def keep_fixed_files(kept: KeptFolder, index: KeptIndex, folder: TrainingFolder) -> list[str]:
    """Copies the files that are not kept yet, byte for byte; returns their names.

    Raises `TrainingError` if one differs from the kept one: then it is another run's.
    """
    check_fixed_files(kept, index, folder)
    added = []
    for name, path in fixed_files(folder).items():
        if name not in index.files and path.is_file():
            kept.check_space(path.stat().st_size)
            write_atomically(kept.root / name, path.read_bytes())
            index.files[name] = hash_file(kept.root / name)
            index.save(kept)
            added.append(name)
    return added


def check_fixed_files(kept: KeptFolder, index: KeptIndex, folder: TrainingFolder) -> None:
    """Raises `TrainingError` if the training folder has one of them with another content."""
    for name, path in fixed_files(folder).items():
        if name in index.files and path.is_file() and not _are_same(path, kept.root / name):
            raise TrainingError(
                f"{path} is not the one that {kept.root} keeps: this training folder belongs to "
                "another run, or its codec is a new one"
            )


def restore_fixed_files(kept: KeptFolder, index: KeptIndex, folder: TrainingFolder) -> None:
    """Writes those that are missing in the training folder."""
    for name, path in fixed_files(folder).items():
        if name in index.files and not path.exists():
            write_atomically(path, (kept.root / name).read_bytes())


def _are_same(path: Path, kept: Path) -> bool:
    """Recipes also state versions and a commit, which may differ; their hashes count."""
    if path.name == FILE:
        return bool(read_json(path)["hash"] == read_json(kept)["hash"])
    return hash_file(path) == hash_file(kept)

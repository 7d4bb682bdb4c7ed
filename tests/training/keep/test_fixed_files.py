"""Tests of the files that are kept once."""

import pytest

from training.errors import TrainingError
from training.files import read_json, write_json
from training.folder import TrainingFolder
from training.keep.fixed_files import check_fixed_files, keep_fixed_files, restore_fixed_files
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex


def test_files_are_kept_byte_for_byte_and_once(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    names = ["encoder.safetensors", "held_out.json", "recipes/texts.json", "recipes/tokens.json"]
    assert keep_fixed_files(kept, index, folder) == names
    assert (kept.root / "encoder.safetensors").read_bytes() == folder.encoder.read_bytes()
    assert keep_fixed_files(kept, index, folder) == []


def test_another_encoder_is_an_error(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    keep_fixed_files(kept, index, folder)
    folder.encoder.write_bytes(b"another")
    with pytest.raises(TrainingError, match="or its codec is a new one"):
        keep_fixed_files(kept, index, folder)


def test_only_the_hash_of_a_recipe_counts(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    keep_fixed_files(kept, index, folder)
    path = folder.tokens / "recipe.json"
    recipe = read_json(path)
    write_json(path, {**recipe, "commit": "another"})
    check_fixed_files(kept, index, folder)
    write_json(path, {**recipe, "hash": "another"})
    with pytest.raises(TrainingError, match="belongs to another run"):
        check_fixed_files(kept, index, folder)


def test_missing_files_are_restored(folder: TrainingFolder, kept: KeptFolder) -> None:
    index = KeptIndex()
    keep_fixed_files(kept, index, folder)
    encoder = folder.encoder.read_bytes()
    folder.encoder.unlink()
    restore_fixed_files(kept, index, folder)
    assert folder.encoder.read_bytes() == encoder

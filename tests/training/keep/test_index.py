"""Tests of the index and the check of the kept files."""

import re

import pytest

from training.errors import TrainingError
from training.files import write_json
from training.folder import TrainingFolder
from training.keep.__main__ import keep
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex, check_kept_files, kept_shards, load_index
from training.shards import shard_path


def test_an_empty_folder_has_an_empty_index(kept: KeptFolder) -> None:
    assert load_index(kept) == KeptIndex()
    assert load_index(kept).is_empty


def test_the_index_is_read_as_it_was_saved(folder: TrainingFolder, kept: KeptFolder) -> None:
    keep(kept, folder)
    index = load_index(kept)
    before = kept.index.read_bytes()
    index.save(kept)
    assert kept.index.read_bytes() == before
    assert [part.num_utterances for part in index.parts] == [12]
    assert sorted(kept_shards(kept, index)) == [0, 1, 2]


def test_another_format_is_an_error(kept: KeptFolder) -> None:
    write_json(kept.index, {"format": 2})
    with pytest.raises(TrainingError, match="has format 2; this version reads 1"):
        load_index(kept)


def test_a_cut_or_missing_file_is_one_line_with_the_command(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    keep(kept, folder)
    index = load_index(kept)
    for path in (shard_path(kept.parts, 0), kept.root / "encoder.safetensors"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(TrainingError, match=r"is cut or was changed \(hash") as raised:
            check_kept_files(kept, index)
        assert str(raised.value).endswith(f"git checkout -- {path}")
        path.unlink()
        message = re.escape(f"{path} is missing: git checkout -- {path}")
        with pytest.raises(TrainingError, match=message):
            check_kept_files(kept, index)
        path.write_bytes(whole)
    check_kept_files(kept, index)

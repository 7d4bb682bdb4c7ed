"""Tests of adding token shards to the kept ones."""

import re

import pytest

from tests.training.keep.conftest import write_tokens
from training.errors import TrainingError
from training.files import write_atomically
from training.folder import TrainingFolder
from training.keep import folder as kept_folder
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex, kept_shards, load_index
from training.keep.parts import encode_part, write_part
from training.keep.token_shards import read_token_shard
from training.keep.tokens import append_tokens
from training.shards import shard_path


def test_only_new_shards_are_added_and_old_parts_stay(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    index = KeptIndex()
    (first,) = append_tokens(kept, index, folder)
    assert (first.number, first.num_utterances) == (0, 12)
    before = shard_path(kept.parts, 0).read_bytes()
    assert append_tokens(kept, index, folder) == []
    write_tokens(folder, 3)
    (second,) = append_tokens(kept, index, folder)
    assert (second.number, second.num_utterances) == (1, 4)
    assert shard_path(kept.parts, 0).read_bytes() == before
    assert sorted(kept_shards(kept, load_index(kept))) == [0, 1, 2, 3]


def test_a_training_folder_that_lacks_kept_shards_adds_its_new_ones(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    index = KeptIndex()
    append_tokens(kept, index, folder)
    shard_path(folder.tokens, 0).unlink()
    write_tokens(folder, 3)
    append_tokens(kept, index, folder)
    assert sorted(kept_shards(kept, index)) == [0, 1, 2, 3]


def test_another_content_under_the_same_number_is_an_error(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    append_tokens(kept, KeptIndex(), folder)
    write_tokens(folder, 1, codes=10)
    message = re.escape(f"{shard_path(folder.tokens, 1)} differs from the kept shard")
    with pytest.raises(TrainingError, match=message):
        append_tokens(kept, load_index(kept), folder)


def test_tokens_of_another_encoder_are_an_error(folder: TrainingFolder, kept: KeptFolder) -> None:
    append_tokens(kept, KeptIndex(), folder)
    folder.encoder.write_bytes(b"another")
    write_tokens(folder, 3)
    with pytest.raises(TrainingError, match="they do not belong together"):
        append_tokens(kept, load_index(kept), folder)
    assert sorted(kept_shards(kept, load_index(kept))) == [0, 1, 2]


def test_a_part_that_the_index_lacks_is_adopted(folder: TrainingFolder, kept: KeptFolder) -> None:
    """A process that dies between part and index loses nothing and writes nothing twice."""
    write_part(shard_path(kept.parts, 0), *encode_part([read_token_shard(folder.tokens, 0)]))
    index = KeptIndex()
    (new,) = append_tokens(kept, index, folder)
    assert (new.number, new.num_utterances) == (1, 8)
    assert sorted(kept_shards(kept, load_index(kept))) == [0, 1, 2]


def test_an_unknown_part_of_another_run_is_an_error(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    append_tokens(kept, KeptIndex(), folder)
    folder.encoder.write_bytes(b"another")
    write_tokens(folder, 3)
    write_part(shard_path(kept.parts, 1), *encode_part([read_token_shard(folder.tokens, 3)]))
    with pytest.raises(TrainingError, match="00001.safetensors belongs to another run"):
        append_tokens(kept, load_index(kept), folder)


def test_tokens_that_do_not_fit_are_one_line(
    folder: TrainingFolder, kept: KeptFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(kept.root / "README.md", b"x" * 10_000)
    monkeypatch.setattr(kept_folder, "MAX_TOTAL_BYTES", 20_000)
    with pytest.raises(TrainingError, match="at most 0 MB are kept; nothing was added"):
        append_tokens(kept, KeptIndex(), folder)
    assert not kept.parts.exists()
    assert not kept.index.exists()

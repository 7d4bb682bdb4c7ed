"""Tests of token shards with rounded times."""

import re

import numpy as np
import pytest

from tests.training.keep.conftest import write_tokens
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.keep.token_shards import STEPS_PER_FRAME, read_token_shard, write_token_shard
from training.shards import read_shard, shard_path, write_shard


def test_times_are_within_half_a_step_and_the_rest_is_exact(folder: TrainingFolder) -> None:
    before, info = read_shard(shard_path(folder.tokens, 1))
    write_token_shard(folder.tokens, read_token_shard(folder.tokens, 1))
    after, info_after = read_shard(shard_path(folder.tokens, 1))
    assert info_after == info
    assert {name: a.dtype for name, a in after.items()} == {n: a.dtype for n, a in before.items()}
    assert np.array_equal(after["codes"], before["codes"])
    assert np.array_equal(after["frame_ends"], before["frame_ends"])
    difference = np.abs(after["symbol_frames"] - before["symbol_frames"]).max()
    assert 0 < difference <= 0.5 / STEPS_PER_FRAME


def test_rounding_again_changes_nothing(folder: TrainingFolder) -> None:
    write_token_shard(folder.tokens, read_token_shard(folder.tokens, 1))
    first = shard_path(folder.tokens, 1).read_bytes()
    write_token_shard(folder.tokens, read_token_shard(folder.tokens, 1))
    assert shard_path(folder.tokens, 1).read_bytes() == first


def test_the_hash_depends_on_the_content(folder: TrainingFolder) -> None:
    hashes = {read_token_shard(folder.tokens, number).hash for number in range(3)}
    assert len(hashes) == 3
    before = read_token_shard(folder.tokens, 1).hash
    write_tokens(folder, 1)
    assert read_token_shard(folder.tokens, 1).hash == before
    write_tokens(folder, 1, codes=1000)
    assert read_token_shard(folder.tokens, 1).hash != before


def test_an_inconsistent_shard_is_an_error(folder: TrainingFolder) -> None:
    path = shard_path(folder.tokens, 0)
    arrays, info = read_shard(path)
    write_shard(path, {**arrays, "codes": arrays["codes"][:-1]}, info)
    with pytest.raises(TrainingError, match=re.escape(f"{path} is inconsistent")):
        read_token_shard(folder.tokens, 0)
    write_shard(path, {"codes": arrays["codes"]}, info)
    with pytest.raises(TrainingError, match="not a shard of tokens: it has codes"):
        read_token_shard(folder.tokens, 0)

"""Tests of parts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.keep.conftest import write_tokens
from training.errors import TrainingError
from training.folder import TrainingFolder
from training.keep import parts
from training.keep.parts import (
    MAX_PART_BYTES,
    encode_part,
    group_shards,
    part_bytes,
    read_part,
    write_part,
)
from training.keep.token_shards import TokenShard, read_token_shard
from training.shards import CutShard, shard_path, write_shard


def read_shards(folder: TrainingFolder, count: int = 3) -> list[TokenShard]:
    return [read_token_shard(folder.tokens, number) for number in range(count)]


def assert_equal(found: list[TokenShard], expected: list[TokenShard]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.number, one.info) == (other.number, other.info)
        assert one.utterances == other.utterances
        for name in ("codes", "frame_ends", "symbol_steps"):
            array = getattr(one, name)
            assert array.dtype == getattr(other, name).dtype
            assert np.array_equal(array, getattr(other, name)), name
        assert one.hash == other.hash


def test_a_part_gives_back_its_shards(folder: TrainingFolder, tmp_path: Path) -> None:
    write_tokens(folder, 1, size=7, codes=3)
    shards = read_shards(folder)
    write_part(tmp_path / "00000.safetensors", *encode_part(shards))
    assert_equal(read_part(tmp_path / "00000.safetensors"), shards)


def test_a_shard_without_utterances_is_kept(folder: TrainingFolder) -> None:
    first, second, third = read_shards(folder)
    empty = replace(
        second,
        codes=second.codes[:0],
        frame_ends=second.frame_ends[:0],
        symbol_steps=second.symbol_steps[:0],
        utterances=[],
    )
    for shards in ([first, empty, third], [empty]):
        assert_equal(parts.decode_part(*encode_part(shards)), shards)


def test_a_part_is_never_rewritten(folder: TrainingFolder, tmp_path: Path) -> None:
    path = tmp_path / "00000.safetensors"
    write_part(path, *encode_part(read_shards(folder)))
    before = path.read_bytes()
    with pytest.raises(TrainingError, match="a part is never rewritten"):
        write_part(path, *encode_part(read_shards(folder, 1)))
    assert path.read_bytes() == before


def test_parts_are_as_large_as_allowed(
    folder: TrainingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PART_BYTES == 2_000_000
    for number in range(3):
        write_tokens(folder, number, size=100)  # 27 kB each
    monkeypatch.setattr(parts, "MAX_PART_BYTES", 80_000)
    groups = list(group_shards(read_shards(folder)))
    assert [[shard.number for shard in group] for group in groups] == [[0, 1], [2]]
    for number, group in enumerate(groups):
        part = encode_part(group)
        write_part(shard_path(tmp_path, number), *part)
        size = shard_path(tmp_path, number).stat().st_size
        assert size <= part_bytes(part[0]) <= 80_000


def test_a_shard_that_is_too_large_is_an_error(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MAX_PART_BYTES", 17_000)
    with pytest.raises(TrainingError, match=r"token shard 0 takes \d+ bytes: a part has at most"):
        list(group_shards(read_shards(folder)))


def test_an_utterance_with_other_fields_is_an_error(folder: TrainingFolder) -> None:
    shards = read_shards(folder)
    shards[1].utterances[0]["pitch"] = 100
    with pytest.raises(TrainingError, match="other fields than kind, number, pitch, speaker, text"):
        encode_part(shards)


def test_a_cut_part_is_one_line(folder: TrainingFolder, tmp_path: Path) -> None:
    path = tmp_path / "00000.safetensors"
    write_part(path, *encode_part(read_shards(folder)))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CutShard, match="00000.safetensors is cut") as raised:
        read_part(path)
    assert "\n" not in str(raised.value)


def test_another_format_is_an_error(folder: TrainingFolder, tmp_path: Path) -> None:
    arrays, info = encode_part(read_shards(folder))
    write_shard(tmp_path / "00000.safetensors", arrays, {**info, "format": 2})
    with pytest.raises(TrainingError, match="has format 2; this version reads 1"):
        read_part(tmp_path / "00000.safetensors")


def test_twelve_hours_fit_with_the_weights(folder: TrainingFolder) -> None:
    """Measured on random codes and times, which compress worse than speech."""
    write_tokens(folder, 0, size=400)
    arrays, info = encode_part(read_shards(folder, 1))
    bytes_per_frame = sum(array.nbytes for array in arrays.values()) / info["num_frames"]
    assert 12 * 3600 * 24_000 / 2048 * bytes_per_frame < 8e6

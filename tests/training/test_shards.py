import random
from pathlib import Path

import numpy as np
import pytest

from training.shard_header import read_header
from training.shards import (
    CutShard,
    read_info,
    read_shard,
    shard_numbers,
    shard_path,
    write_shard,
)

SAMPLES = np.arange(1000, dtype=np.int16)
INFO = {"made_from": "abc", "utterances": [{"text": "Hello.", "symbols": ["h", "ɛ"]}]}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = shard_path(tmp_path, 7)
    write_shard(path, {"samples": SAMPLES, "ends": np.array([400, 1000])}, INFO)
    return path


def test_a_shard_is_read_as_it_was_written(shard: Path) -> None:
    arrays, info = read_shard(shard)
    assert shard.name == "00007.safetensors"
    assert info == read_info(shard) == INFO
    assert arrays["samples"].tolist() == SAMPLES.tolist()
    assert arrays["samples"].dtype == np.int16
    assert arrays["ends"].tolist() == [400, 1000]


def test_a_view_is_written_as_it_reads(tmp_path: Path) -> None:
    # safetensors wrote the bytes of the whole base array for a strided view.
    write_shard(tmp_path / "00001.safetensors", {"a": SAMPLES[::-2]}, {})
    assert read_shard(tmp_path / "00001.safetensors")[0]["a"].tolist() == SAMPLES[::-2].tolist()


def test_a_cut_shard_is_noticed_wherever_it_is_cut(shard: Path) -> None:
    whole = shard.read_bytes()
    for size in [0, len(whole) - 1, *random.Random(1).sample(range(1, len(whole)), 10)]:
        shard.write_bytes(whole[:size])
        with pytest.raises(CutShard, match="is cut or is not a shard"):
            read_info(shard)
        assert read_header(shard) is None


def test_a_cut_shard_is_deleted_and_the_others_are_kept(
    shard: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = shard_path(shard.parent, 3)
    cut.write_bytes(shard.read_bytes()[:-5])
    (shard.parent / "recipe.json").touch()
    assert shard_numbers(shard.parent) == [7]
    assert not cut.exists()
    assert [record.message.partition(": ")[2].rpartition("; ")[2] for record in caplog.records] == [
        "deleted, it will be made again"
    ]


def test_a_file_without_a_description_is_not_a_shard(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": SAMPLES}, tmp_path / "a.safetensors")
    with pytest.raises(CutShard, match="it has no description"):
        read_info(tmp_path / "a.safetensors")


def test_the_header_is_read_without_a_library(shard: Path) -> None:
    header = read_header(shard)
    assert header is not None
    assert header["samples"]["shape"] == [1000]
    assert read_header(shard.with_name("none")) is None

"""Adds new token shards to the kept ones, as new parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import hash_file
from training.folder import TrainingFolder
from training.keep.folder import KeptFolder
from training.keep.index import KeptIndex, KeptPart, kept_shards
from training.keep.parts import encode_part, group_shards, part_bytes, read_part_info, write_part
from training.keep.token_shards import TokenShard, read_token_shard
from training.shards import shard_numbers, shard_path


def append_tokens(kept: KeptFolder, index: KeptIndex, folder: TrainingFolder) -> list[KeptPart]:
    """Writes the shards that are not kept yet as new parts; returns these.

    The index is saved after each part. Raises `TrainingError` if a shard was made from something
    else than the kept ones, or differs from the kept one of its number.
    """
    _adopt_parts(kept, index)
    before = len(index.parts)
    new = _new_shards(folder.tokens, index, kept_shards(kept, index))
    for group in group_shards(new):
        arrays, info = encode_part(group)
        kept.check_space(part_bytes(arrays))
        number = len(index.parts)
        path = shard_path(kept.parts, number)
        write_part(path, arrays, info)
        index.parts.append(_describe(path, number, info))
        index.save(kept)
    return index.parts[before:]


def _new_shards(folder: Path, index: KeptIndex, known: dict[int, str]) -> Iterator[TokenShard]:
    for number in shard_numbers(folder):
        shard = read_token_shard(folder, number)
        made_from = dict(shard.info["made_from"])
        if index.made_from and made_from != index.made_from:
            raise TrainingError(
                f"{shard_path(folder, number)} was made from {made_from}, the kept tokens from "
                f"{index.made_from}: they do not belong together"
            )
        index.made_from = made_from
        if number not in known:
            yield shard
        elif known[number] != shard.hash:
            raise TrainingError(
                f"{shard_path(folder, number)} differs from the kept shard of its number: "
                "this training folder is not the one whose tokens are kept"
            )


def _adopt_parts(kept: KeptFolder, index: KeptIndex) -> None:
    """Adds parts that were written just before a process died without saving the index."""
    while (path := shard_path(kept.parts, len(index.parts))).exists():
        info = read_part_info(path)
        made_from = info["shards"][0]["info"]["made_from"]
        if index.made_from not in ({}, made_from):
            raise TrainingError(f"{path} belongs to another run: delete it")
        index.made_from = made_from
        index.parts.append(_describe(path, len(index.parts), info))
        index.save(kept)


def _describe(path: Path, number: int, info: dict[str, Any]) -> KeptPart:
    return KeptPart(
        number=number,
        hash=hash_file(path),
        num_bytes=path.stat().st_size,
        num_utterances=info["num_utterances"],
        num_frames=info["num_frames"],
    )

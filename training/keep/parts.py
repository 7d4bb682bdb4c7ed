"""Parts: token shards in a compact form. A part is written once and never changed.

A part is a safetensors file. Its description lists the shards; every array is uint8:
`codes` (packed bits), `lengths` (shards, utterances and symbols), `times`, `symbols` and
`utterances` (compressed, see `packing`). `models/pocket-training/README.md` has the details.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.keep.packing import (
    num_bits,
    pack_codes,
    pack_integers,
    pack_json,
    unpack_codes,
    unpack_integers,
    unpack_json,
)
from training.keep.token_shards import TokenShard
from training.shards import Array, read_info, read_shard, write_shard

MAX_PART_BYTES = 2_000_000
FORMAT = 1

_HEADER_BYTES = 16_384
"""Room for the description and for what compressing shards together may lose."""


def group_shards(shards: Iterable[TokenShard]) -> Iterator[list[TokenShard]]:
    """Divides shards into parts that are as large as allowed.

    Raises `TrainingError` for a shard that is too large for a part.
    """
    group: list[TokenShard] = []
    size = _HEADER_BYTES
    for shard in shards:
        arrays, _ = encode_part([shard])
        if part_bytes(arrays) > MAX_PART_BYTES:
            raise TrainingError(
                f"token shard {shard.number} takes {part_bytes(arrays)} bytes: "
                f"a part has at most {MAX_PART_BYTES}"
            )
        shard_size = part_bytes(arrays) - _HEADER_BYTES
        if group and size + shard_size > MAX_PART_BYTES:
            yield group
            group, size = [], _HEADER_BYTES
        group.append(shard)
        size += shard_size
    if group:
        yield group


def encode_part(shards: Sequence[TokenShard]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Returns the arrays and the description of a part."""
    utterances = [utterance for shard in shards for utterance in shard.utterances]
    symbols = [symbol for utterance in utterances for symbol in utterance["symbols"]]
    table = sorted(set(symbols))
    ids = {symbol: number for number, symbol in enumerate(table)}
    codes = np.concatenate([shard.codes for shard in shards])
    bits = num_bits(codes)
    lengths = [
        *(len(shard.utterances) for shard in shards),
        *(n for shard in shards for n in np.diff(shard.frame_ends, prepend=0)),
        *(len(utterance["symbols"]) for utterance in utterances),
    ]
    steps = np.concatenate([shard.symbol_steps for shard in shards])
    arrays = {
        "codes": pack_codes(codes, bits),
        "lengths": pack_integers(np.array(lengths, np.int64)),
        "times": pack_integers(_differences(steps)),
        "symbols": pack_integers(np.array([ids[symbol] for symbol in symbols], np.int64)),
        "utterances": pack_json(_columns(utterances)),
    }
    info = {
        "format": FORMAT,
        "code_bits": bits,
        "num_utterances": len(utterances),
        "num_frames": len(codes),
        "symbols": table,
        "shards": [{"number": s.number, "hash": s.hash, "info": dict(s.info)} for s in shards],
    }
    return arrays, info


def decode_part(arrays: dict[str, Array], info: dict[str, Any]) -> list[TokenShard]:
    """Returns the shards of a part."""
    num_utterances, table = info["num_utterances"], info["symbols"]
    lengths = unpack_integers(arrays["lengths"])
    shard_lengths, frame_lengths, symbol_lengths = np.split(
        lengths, [len(info["shards"]), len(info["shards"]) + num_utterances]
    )
    codes = unpack_codes(arrays["codes"], info["code_bits"], 7 * info["num_frames"]).reshape(-1, 7)
    steps = _sums(unpack_integers(arrays["times"]))
    ids = unpack_integers(arrays["symbols"])
    utterances = _rows(unpack_json(arrays["utterances"]), num_utterances)
    for utterance, own in zip(utterances, np.split(ids, symbol_lengths.cumsum()), strict=False):
        utterance["symbols"] = [table[number] for number in own]
    shards = []
    first = first_frame = first_symbol = 0
    for record, count in zip(info["shards"], shard_lengths, strict=True):
        end = first + int(count)
        frame_ends = frame_lengths[first:end].cumsum()
        end_frame = first_frame + int(frame_ends[-1] if count else 0)
        end_symbol = first_symbol + int(symbol_lengths[first:end].sum())
        shards.append(
            TokenShard(
                number=record["number"],
                codes=codes[first_frame:end_frame],
                frame_ends=frame_ends,
                symbol_steps=steps[first_symbol:end_symbol],
                utterances=utterances[first:end],
                info=record["info"],
            )
        )
        first, first_frame, first_symbol = end, end_frame, end_symbol
    return shards


def part_bytes(arrays: dict[str, Array]) -> int:
    """Returns the most bytes that a part of these arrays takes."""
    return sum(array.nbytes for array in arrays.values()) + _HEADER_BYTES


def write_part(path: Path, arrays: dict[str, Array], info: dict[str, Any]) -> None:
    """Writes a new part. Raises `TrainingError` if there is one already."""
    if path.exists():
        raise TrainingError(f"{path} exists: a part is never rewritten")
    hashes = [shard.hash for shard in decode_part(arrays, info)]
    assert hashes == [shard["hash"] for shard in info["shards"]], "a part is exact"
    write_shard(path, arrays, info)
    size = path.stat().st_size
    assert size <= MAX_PART_BYTES, f"group_shards allows no part of {size} bytes"


def read_part(path: Path) -> list[TokenShard]:
    """Reads the shards of a part. Raises `CutShard`, or `TrainingError` for another format."""
    _check_format(path, read_info(path))
    return decode_part(*read_shard(path))


def read_part_info(path: Path) -> dict[str, Any]:
    """Reads the description only, with the same errors."""
    info = read_info(path)
    _check_format(path, info)
    return info


def _check_format(path: Path, info: dict[str, Any]) -> None:
    if info.get("format") != FORMAT:
        raise TrainingError(f"{path} has format {info.get('format')}; this version reads {FORMAT}")


def _differences(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns each symbol's distance from the symbol before, then each symbol's duration."""
    starts, ends = steps[:, 0], steps[:, 1]
    gaps = starts - np.concatenate([[0], ends[:-1]])
    return np.concatenate([gaps[: len(steps)], ends - starts])


def _sums(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Reverses `_differences`; returns steps [symbols, 2]."""
    gaps, durations = np.split(values, 2)
    ends = (gaps + durations).cumsum()
    return np.stack([ends - durations, ends], axis=1)


def _columns(utterances: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns the utterances by field: equal values then lie beside each other."""
    names = sorted({name for utterance in utterances for name in utterance} - {"symbols"})
    for utterance in utterances:
        if len(utterance) != len(names) + 1:
            raise TrainingError(f"an utterance has other fields than {', '.join(names)}, symbols")
    return {name: [utterance[name] for utterance in utterances] for name in names}


def _rows(columns: dict[str, list[Any]], count: int) -> list[dict[str, Any]]:
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]

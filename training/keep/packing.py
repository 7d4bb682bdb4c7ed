"""Compact bytes for codes, integers and JSON. Everything here is exact."""

import json
import lzma
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.integer[Any]]

# The strongest setting: packing is rare, and its result stays in the repository for good.
_PRESET = 9 | lzma.PRESET_EXTREME


def num_bits(codes: Integers) -> int:
    """Returns the bits that the largest code needs."""
    return max(1, int(codes.max(initial=0)).bit_length())


def pack_codes(codes: Integers, bits: int) -> Bytes:
    """Packs codes, in their order, into `bits` bits each, the highest bit first.

    Codes are hardly compressible, so they are packed and not compressed.
    """
    flat = codes.astype(np.uint16, copy=False).reshape(-1, 1)
    assert num_bits(flat) <= bits <= 16, "the caller counts the bits"
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint16)
    return np.packbits(((flat >> shifts) & 1).astype(np.uint8).reshape(-1))


def unpack_codes(packed: Bytes, bits: int, count: int) -> npt.NDArray[np.uint16]:
    """Returns `count` codes, uint16 [count]."""
    unpacked = np.unpackbits(packed, count=bits * count).reshape(count, bits)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    codes: npt.NDArray[np.uint16] = (unpacked * weights).sum(axis=1, dtype=np.uint16)
    return codes


def pack_integers(values: Integers) -> Bytes:
    """Compresses integers below 2**31 in size, byte by byte: small ones then cost little."""
    words = values.astype("<i4").reshape(-1)
    assert np.array_equal(words, values.reshape(-1)), "the values fit into 32 bits"
    return _compress(words.view(np.uint8).reshape(-1, 4).T.tobytes())


def unpack_integers(packed: Bytes) -> npt.NDArray[np.int64]:
    words = np.frombuffer(_decompress(packed), np.uint8).reshape(4, -1).T
    return np.ascontiguousarray(words).view("<i4").reshape(-1).astype(np.int64)


def pack_json(value: object) -> Bytes:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return _compress(text.encode())


def unpack_json(packed: Bytes) -> Any:
    return json.loads(_decompress(packed))


def _compress(data: bytes) -> Bytes:
    # A dictionary of the preset's size, 64 MB, takes longer to clear than small data to compress.
    size = min(max(4096, len(data)), 1 << 24)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": _PRESET, "dict_size": size}]
    return np.frombuffer(lzma.compress(data, filters=filters), np.uint8)


def _decompress(packed: Bytes) -> bytes:
    return lzma.decompress(packed.tobytes())

"""Reads the header of a shard without numpy, for status and plans. Standard library only."""

import json
import struct
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct("<Q")
_MAX_HEADER_BYTES = 1 << 26


def read_header(path: Path) -> dict[str, Any] | None:
    """Returns a safetensors header; None if the file is cut or is not one.

    Format: https://github.com/huggingface/safetensors#format
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(_LENGTH.size)
            if len(first) < _LENGTH.size:
                return None
            (num_bytes,) = _LENGTH.unpack(first)
            if num_bytes > min(size, _MAX_HEADER_BYTES):
                return None
            header: dict[str, Any] = json.loads(file.read(num_bytes))
    except (OSError, ValueError):
        return None
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return header if size == _LENGTH.size + num_bytes + max(ends, default=0) else None

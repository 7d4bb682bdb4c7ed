"""Compiled kernels: a cut one would fail every later start. Standard library only."""

import logging
import struct
from pathlib import Path

logger = logging.getLogger(__name__)

_ELF_HEADER = struct.Struct("<40xQ10xHH2x")
"""Offset of the section headers, which come last; their size and number."""


def delete_cut_kernels(folder: Path) -> None:
    """Deletes libraries that a killed process left cut: torch's compiler writes them in place.

    Only for the owner of the training lock, before its processes start.
    """
    for path in folder.rglob("*.so"):
        if _is_cut(path):
            logger.warning("%s is cut; deleted, it will be compiled again", path)
            path.unlink()


def _is_cut(library: Path) -> bool:
    """Returns True if the library ends before its own headers do."""
    with library.open("rb") as file:
        header = file.read(_ELF_HEADER.size)
    if len(header) < _ELF_HEADER.size:
        return True
    offset, size, count = map(int, _ELF_HEADER.unpack(header))
    return offset == 0 or library.stat().st_size < offset + size * count

"""A few files of limited size, with a list of their hashes: how results travel."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.files import PARTIAL, hash_bytes, read_json, write_atomically, write_json

MANIFEST = "results.json"
MAX_PIECES = 7
"""Eight files with the list."""
PIECE_BYTES = 15_000_000


def write_pieces(
    folder: Path, contents: Mapping[str, bytes], info: Mapping[str, Any], *, max_bytes: int
) -> bool:
    """Replaces the folder by these contents as a whole; returns False if they are too large."""
    blob = b"".join(contents.values())
    if len(blob) > min(max_bytes, MAX_PIECES * PIECE_BYTES):
        return False
    new, old = (folder.with_name(f"{PARTIAL}{word}-{folder.name}") for word in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    pieces = {}
    for number, start in enumerate(range(0, len(blob), PIECE_BYTES), 1):
        name = f"piece-{number}.bin"
        write_atomically(new / name, blob[start : start + PIECE_BYTES])
        pieces[name] = hash_bytes(blob[start : start + PIECE_BYTES])
    sizes = [{"name": name, "size": len(data)} for name, data in contents.items()]
    write_json(new / MANIFEST, {**info, "pieces": pieces, "contents": sizes})
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return True


def read_pieces(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Returns contents and info.

    Raises `TrainingError` if a file is missing, cut, or belongs to other results.
    """
    if not (folder / MANIFEST).is_file():
        raise TrainingError(f"{folder} has no {MANIFEST}: it does not hold results")
    info = dict(read_json(folder / MANIFEST))
    pieces, sizes = info.pop("pieces"), info.pop("contents")
    others = {path.name for path in folder.iterdir()} - {MANIFEST, *pieces}
    if others:
        raise TrainingError(f"{folder} also holds {min(others)}, which belongs to other results")
    blob = b"".join(_read_piece(folder / name, digest) for name, digest in pieces.items())
    contents, start = {}, 0
    for entry in sizes:
        contents[entry["name"]] = blob[start : start + entry["size"]]
        start += entry["size"]
    return contents, info


def _read_piece(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise TrainingError(f"{path} is missing: copy all files of the results")
    data = path.read_bytes()
    if hash_bytes(data) != digest:
        raise TrainingError(f"{path} is cut or belongs to other results: copy all files again")
    return data

"""Files that are either complete or absent, and hashes of contents. Standard library only."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.errors import TrainingError

HASH_LENGTH = 16
"""Hex digits of SHA-256: 64 bits tell apart everything that one folder ever holds."""

PARTIAL = ".partial-"
"""Prefix of files that are being written."""


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that it is complete or absent, whenever the process or the machine ends.

    Raises `TrainingError` if the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: object) -> None:
    """Writes a value as readable JSON, atomically."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    write_atomically(path, f"{text}\n".encode())


def read_json(path: Path) -> Any:
    """Reads JSON. Raises `TrainingError` if the file is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise TrainingError(f"{path} is not complete JSON: {error}") from error


def delete_partial_files(folder: Path) -> None:
    """Deletes what killed processes were writing. Only for the owner of the training lock."""
    for path in folder.rglob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)


def hash_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH_LENGTH]


def hash_file(path: Path) -> str:
    """Hashes a file's content. Raises `TrainingError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_LENGTH]
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror or error}") from error


def hash_json(value: object) -> str:
    """Hashes a JSON value; the order of keys does not matter."""
    return hash_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())

"""Rows of JSON lines that a killed program goes on from."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.errors import TrainingError

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Returns the complete rows; none if there is no file. A cut last line is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    return list(_parse(lines))


def _parse(lines: list[bytes]) -> Iterator[Row]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Appends one row. Raises `TrainingError` if the disk is full."""
    line = json.dumps(row, ensure_ascii=False).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            # A line break comes first too, so that a cut line spoils no other.
            file.write(b"\n" * (file.tell() > 0 and not _ends_a_line(path)) + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"

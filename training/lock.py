"""The lock of a training folder: two runs never write the same one. Standard library only."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import TrainingError

_FILE = "lock"


@contextmanager
def hold_lock(root: Path) -> Iterator[None]:
    """Holds the folder's lock. Raises `TrainingError` if another run holds it.

    The system drops the lock when the process ends in any way.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / _FILE).open("a+")
    except OSError as error:
        raise TrainingError(f"cannot write {root}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"process {lock_owner(root)} is training in {root} already (make train-status)"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def lock_owner(root: Path) -> int | None:
    """Returns the process that holds the lock, None if there is none."""
    try:
        with (root / _FILE).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text else 0
    except OSError:
        return None
    return None

"""What the commands of all stages share: arguments, signals, errors of one line."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.lock import hold_lock, lock_owner


@dataclass(slots=True)
class StopRequest:
    """Set by SIGTERM and SIGINT; stages save what they have and end with status 0."""

    is_set: bool = False

    def __call__(self) -> bool:
        return self.is_set

    def listen(self) -> None:
        def stop(*_: object) -> None:
            self.is_set = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of stages that train: a time limit and the processes."""
    parser.add_argument("--minutes", type=float, help="end after this time (default: no limit)")
    parser.add_argument("--rank", type=int, default=0, help="this process's number")
    parser.add_argument("--world", type=int, default=1, help="number of processes")
    parser.add_argument("--port", type=int, help="port of 127.0.0.1 where the processes meet")


def deadline(minutes: float | None) -> float | None:
    """Returns the time limit as `time.monotonic()`."""
    return None if minutes is None else time.monotonic() + 60 * minutes


@contextmanager
def lock_for_stage(root: Path, number: int = 0) -> Iterator[None]:
    """Holds the folder's lock for a stage that was started by hand; the chain holds it for its own.

    Of several processes of one stage, the first one (`number` 0) holds it.
    """
    if number or lock_owner(root) == os.getppid():
        yield
    else:
        with hold_lock(root):
            yield


def run_stage(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a stage's command; a `TrainingError` is printed as one line with status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        main(sys.argv[1:])
    except TrainingError as error:
        print(f"training: {error}", file=sys.stderr, flush=True)
        sys.exit(1)

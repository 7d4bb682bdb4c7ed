"""Ends what a server leaves behind when it is killed: its engine would hold the GPU for minutes.

This file is also the program that does it (`python -I -S reaper.py`): a small process that only
looks on while its parent lives, and needs nothing but the standard library.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

logger = logging.getLogger(__name__)

LOOK_SEC = 1.0
"""Between two looks at the processes; what was started and orphaned in between stays unknown."""

MOMENT_SEC = 1.0
"""For processes that are ending anyhow."""

TRACKER = b"resource_tracker"
"""`multiprocessing`'s own: it ends, after tidying up, once all those that it serves have ended."""


@dataclass(frozen=True, slots=True)
class ProcessKey:
    """A process, and not a later one with the same id: its start in clock ticks since the boot."""

    pid: int
    started_at: int


class OrphanReaper:
    """Once it is made, all processes below this one end soon after this one, however it ends.

    Making and closing it takes some milliseconds each, so do it in a thread.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # Not of the terminal's group: Ctrl-C is for the server.
                start_new_session=True,
            )
        except OSError as error:
            logger.warning("nothing ends the engine if this server is killed: %s", error)

    def close(self) -> None:
        """From now on nothing is ended: whoever started a process has ended it."""
        if self._process is not None:
            with self._process as process:
                process.kill()


def main(parent_pid: int) -> None:
    """Looks on until the parent has ended, then ends what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever stops the whole group means the server, which ends this process itself.
        signal.signal(number, signal.SIG_IGN)
    known: set[ProcessKey] = set()
    watched = [sys.stdin.fileno()]
    while os.getppid() == parent_pid:
        known |= {key for key in descendants({parent_pid}) if key.pid != os.getpid()}
        # The end of the pipe tells at once; alone it is no proof, a child may hold the other end.
        readable, _, _ = select.select(watched, [], [], LOOK_SEC)
        if readable:
            watched = []
            wait_until(lambda: os.getppid() != parent_pid)
    end_all(known)


def end_all(known: set[ProcessKey]) -> None:
    """Gives them a moment to end, then kills them and what they have started."""
    known = known | descendants({key.pid for key in known if is_running(key)})
    wait_until(lambda: not any(map(is_running, known)))
    for key in known:
        if not is_tracker(key):
            kill(key)
    wait_until(lambda: not any(map(is_running, known)))
    for key in known:
        kill(key)


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when it holds, or after a moment."""
    end = time.monotonic() + MOMENT_SEC
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def kill(key: ProcessKey) -> None:
    """Kills the process if it still is that one."""
    if is_running(key):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(key.pid, signal.SIGKILL)


def is_running(key: ProcessKey) -> bool:
    """Whether it lives; a process that nobody has waited for holds nothing any more."""
    found = read_stat(key.pid)
    return found is not None and found[0] == key and found[2] not in ("Z", "X")


def is_tracker(key: ProcessKey) -> bool:
    """Whether it is a resource tracker."""
    try:
        with open(f"/proc/{key.pid}/cmdline", "rb") as file:
            return TRACKER in file.read()
    except OSError:
        return False


def descendants(pids: set[int]) -> set[ProcessKey]:
    """All processes below these."""
    children: dict[int, list[ProcessKey]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (found := read_stat(int(name))) is not None:
            children.setdefault(found[1], []).append(found[0])
    below: set[ProcessKey] = set()
    waiting = list(pids)
    while waiting:
        for key in children.get(waiting.pop(), ()):
            if key not in below:
                below.add(key)
                waiting.append(key.pid)
    return below


def read_stat(pid: int) -> tuple[ProcessKey, int, str] | None:
    """Process, parent's id and state; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    # The name, in brackets, may hold anything, brackets and spaces too.
    fields = line[line.rindex(b")") + 2 :].split()
    return ProcessKey(pid, int(fields[19])), int(fields[1]), fields[0].decode()


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Ends the processes of a killed server, whose engine would hold the GPU for minutes.

This file is also the program that does it (`python -I -S reaper.py`): a small process that only
watches while its parent lives, and needs nothing but the standard library.
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

POLL_SEC = 1.0
"""Between two listings of the processes; one that starts and is orphaned in between is missed."""

EXIT_LIMIT_SEC = 1.0
"""For processes that are exiting by themselves."""

REAPER = __file__

TRACKER = "resource_tracker"
"""`multiprocessing`'s own process: it cleans up and exits once all its clients have exited."""


@dataclass(frozen=True, slots=True)
class ProcessKey:
    """Identifies a process even if its id is reused: `started_at` is in clock ticks since boot."""

    pid: int
    started_at: int


class OrphanReaper:
    """While it is open, all descendants of this process are ended soon after it, however it ends.

    Creating and closing it block for some milliseconds each, so call them in a thread. It needs
    Linux's /proc; elsewhere it only logs that it does nothing.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform != "linux":
            # Only vLLM starts processes, and it is installed on Linux only.
            logger.info(
                "child processes are not watched on %s: its engines need none", sys.platform
            )
            return
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", REAPER, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # Not in the terminal's process group, because Ctrl-C is meant for the server.
                start_new_session=True,
            )
        except OSError as error:
            logger.warning("the engine will keep running if this server is killed: %s", error)

    def close(self) -> None:
        """Ends the watch; call it once all other processes have been ended."""
        if self._process is not None:
            with self._process as process:
                process.kill()


def main(parent_pid: int) -> None:
    """Watches the parent until it has ended, then ends its descendants."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A signal to the whole group is meant for the server, which ends this process itself.
        signal.signal(number, signal.SIG_IGN)
    known: set[ProcessKey] = set()
    watched = [sys.stdin.fileno()]
    while os.getppid() == parent_pid:
        known |= {key for key in descendants({parent_pid}) if key.pid != os.getpid()}
        # The pipe ends immediately with the parent, unless a child has inherited its other end.
        readable, _, _ = select.select(watched, [], [], POLL_SEC)
        if readable:
            watched = []
            wait_until(lambda: os.getppid() != parent_pid)
    end_all(known)


def end_all(known: set[ProcessKey]) -> None:
    """Lets the processes exit, then kills them and their descendants, resource trackers last."""
    known = known | descendants({key.pid for key in known if is_running(key)})
    wait_until(lambda: not any(map(is_running, known)))
    for key in known:
        if not is_tracker(key):
            kill(key)
    wait_until(lambda: not any(map(is_running, known)))
    for key in known:
        kill(key)


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds, or after `EXIT_LIMIT_SEC`."""
    end = time.monotonic() + EXIT_LIMIT_SEC
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def kill(key: ProcessKey) -> None:
    """Kills the process if it is still running."""
    if is_running(key):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(key.pid, signal.SIGKILL)


def is_running(key: ProcessKey) -> bool:
    """Whether it is running; a zombie is not, because it holds no resources."""
    stat = read_stat(key.pid)
    return stat is not None and stat[0] == key and stat[2] not in ("Z", "X")


def is_tracker(key: ProcessKey) -> bool:
    try:
        with open(f"/proc/{key.pid}/cmdline", "rb") as file:
            return TRACKER.encode() in file.read()
    except OSError:
        return False


def descendants(pids: set[int]) -> set[ProcessKey]:
    """Returns all descendants of the processes."""
    children: dict[int, list[ProcessKey]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (stat := read_stat(int(name))) is not None:
            children.setdefault(stat[1], []).append(stat[0])
    found: set[ProcessKey] = set()
    unvisited = list(pids)
    while unvisited:
        for key in children.get(unvisited.pop(), ()):
            if key not in found:
                found.add(key)
                unvisited.append(key.pid)
    return found


def read_stat(pid: int) -> tuple[ProcessKey, int, str] | None:
    """Returns the process, its parent's id and its state; None if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    # The name is in parentheses and may itself contain parentheses and spaces.
    fields = line[line.rindex(b")") + 2 :].split()
    return ProcessKey(pid, int(fields[19])), int(fields[1]), fields[0].decode()


if __name__ == "__main__":
    main(int(sys.argv[1]))

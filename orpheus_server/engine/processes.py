"""Finds the processes that vLLM starts by their titles, and kills processes in whatever state."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

from orpheus_server.engine.reaper import REAPER, TRACKER

TITLE = "VLLM::"
"""`VLLM::EngineCore`, and `VLLM::Worker_TP0` and so on below it."""

GONE_LIMIT_SEC = 5.0
"""A killed process frees its memory while it exits, which a driver may delay."""


def find_processes() -> frozenset[psutil.Process]:
    """Returns vLLM's processes below this one. A reused process id is not mistaken for one."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.Error):
            if any(TITLE in part for part in child.cmdline()):
                found.append(child)
    return frozenset(found)


def kill_children() -> None:
    """Kills all descendants of this process, except those that clean up after it."""
    children = psutil.Process(os.getpid()).children(recursive=True)
    kill_processes(child for child in children if not _cleans_up(child))


def _cleans_up(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(TRACKER in part or part == REAPER for part in process.cmdline())
    return False


def kill_processes(processes: Iterable[psutil.Process]) -> None:
    """Kills the processes and all their descendants, even stopped ones, and waits for their end."""
    doomed = set(processes)
    for process in tuple(doomed):
        with suppress(psutil.Error):
            doomed.update(process.children(recursive=True))
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    end = time.monotonic() + GONE_LIMIT_SEC
    while any(_remaining(doomed)) and time.monotonic() < end:
        time.sleep(0.01)


def _remaining(processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """Yields the processes that have not exited.

    psutil's own wait would take the exit status away from `multiprocessing`, which would then
    consider the process alive for ever.
    """
    for process in processes:
        with suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process

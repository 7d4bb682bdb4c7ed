"""The processes that vLLM starts: found by their titles, ended in whatever state they are."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

TITLE = "VLLM::"
"""`VLLM::EngineCore`, and `VLLM::Worker_TP0` and so on below it."""

GONE_LIMIT_SEC = 5.0
"""A killed process gives its memory back while it ends, which a driver may delay."""


def find_processes() -> frozenset[psutil.Process]:
    """vLLM's processes below this one, with their start times: a reused id is another process."""
    found = []
    for child in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.Error):
            if any(TITLE in part for part in child.cmdline()):
                found.append(child)
    return frozenset(found)


def kill_processes(processes: Iterable[psutil.Process]) -> None:
    """Kills them and all below them, stopped ones too, and waits a moment until they are gone."""
    doomed = set(processes)
    for process in tuple(doomed):
        with suppress(psutil.Error):
            doomed.update(process.children(recursive=True))
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    end = time.monotonic() + GONE_LIMIT_SEC
    while any(_left(doomed)) and time.monotonic() < end:
        time.sleep(0.01)


def _left(processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    """Those that still hold something. psutil's own wait would take the exit status away from
    `multiprocessing`, which then holds the process to be alive for ever."""
    for process in processes:
        with suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process

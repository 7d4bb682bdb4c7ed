"""Runs the chain in time that nothing else wants. Standard library only."""

import os
import time
from pathlib import Path

LOWEST_NICE = 19
_NUM_TRIES = 20
_RETRY_SEC = 0.05


def run_when_idle() -> str:
    """Gives this process and its later children the lowest priority; returns the one that it got.

    SCHED_IDLE takes a core only when nothing else wants it. Where the system refuses it, nice 19
    takes about a seventieth of a busy core.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST_NICE)
        return f"nice {LOWEST_NICE}"
    return "SCHED_IDLE"


def lower_session_share() -> None:
    """Gives this process's session the least share of the cores. Called in a new session.

    Linux's autogroups share the cores among sessions before priorities count, so that a session of
    idle processes takes as much as a busy one (sched(7), "The autogroup feature").
    """
    path = Path("/proc/self/autogroup")
    for _ in range(_NUM_TRIES):
        try:
            path.write_text(str(LOWEST_NICE))
        except BlockingIOError:
            # Without privileges, the system takes one such change in a tenth of a second.
            time.sleep(_RETRY_SEC)
        except OSError:
            return
        else:
            return


def private_memory_bytes(process_ids: list[int]) -> int:
    """Returns the memory that the processes hold themselves: mapped files are not counted."""
    total_kib = 0
    for process_id in process_ids:
        try:
            lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(("RssAnon:", "RssShmem:")):
                total_kib += int(line.split()[1])
    return total_kib * 1024


def descendants(process_id: int) -> list[int]:
    """Returns the process and all that it started, directly or not."""
    found = [process_id]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                found += map(int, (task / "children").read_text().split())
            except OSError:
                continue
    return found

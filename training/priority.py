"""Runs the chain in time that nothing else wants. Standard library only."""

import os
from pathlib import Path

LOWEST_NICE = 19


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

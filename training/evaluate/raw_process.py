"""Starts the process that speaks without guard and retries, for what is missing."""

import sys
from collections.abc import Sequence
from pathlib import Path

from training.evaluate.environment import stage_environment
from training.evaluate.evaluation import Workplace
from training.evaluate.items import Item
from training.evaluate.raw import write_plan
from training.evaluate.sampling import Sampling
from training.evaluate.spoken import SpokenFolder
from training.processes import run_processes


def speak_raw(
    place: Workplace,
    work: Path,
    checkpoint: Path,
    items: Sequence[Item],
    folders: Sequence[tuple[Sampling, Path]],
) -> None:
    """Speaks what is missing in another process, which ends with its engine."""
    if not any(SpokenFolder(path).missing(items) for _, path in folders):
        return
    write_plan(work / "plan.json", checkpoint, items, folders)
    run_processes(
        "evaluate",
        [[sys.executable, "-m", "training.evaluate.raw", str(work / "plan.json")]],
        log=work / "raw.log",
        environment=stage_environment(),
        max_memory_gib=place.settings.max_memory_gib,
        is_stopped=place.is_stopped,
    )

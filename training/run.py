"""Runs the chain, turn by turn, until all budgets are used up or it is stopped."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from training.chain import Work, next_work
from training.files import delete_partial_files, write_json
from training.folder import TrainingFolder, current_folder
from training.kernels import delete_cut_kernels
from training.lock import hold_lock
from training.priority import run_when_idle
from training.processes import free_port, run_processes
from training.progress import read_progress
from training.settings import ROOT, TrainingSettings

STATE = "now.json"
"""What goes on, for `train-status`."""

LOG = "chain.log"
COMPILED = "compiled"
"""The compiler's cache, kept from turn to turn."""
TURNS = "turns.jsonl"
"""Ended turns with their times, one JSON line each."""


def run_chain(settings: TrainingSettings, is_stopped: Callable[[], bool]) -> None:
    """Runs turns until none is left or a stop is requested. Raises `TrainingError`."""
    with hold_lock(settings.folder):
        delete_partial_files(settings.folder)
        delete_cut_kernels(settings.folder / COMPILED)
        folder = new_or_current_folder(settings)
        _say(f"{settings.folder}, generation {folder.generation}, {run_when_idle()}")
        while not is_stopped():
            work = next_work(read_progress(folder, settings), settings)
            if work is None:
                _say(f"all budgets are used up: {folder.voice}")
                return
            _run(work, folder, settings, is_stopped)
        _say("stopped")


def new_or_current_folder(settings: TrainingSettings) -> TrainingFolder:
    """Returns the newest generation, or a new one if one is asked for and the last has tokens."""
    folder = current_folder(settings)
    if settings.is_new_codec and any(folder.tokens.glob("*.safetensors")):
        folder = TrainingFolder(settings.folder, folder.generation + 1)
    folder.codes.mkdir(parents=True, exist_ok=True)
    return folder


def _run(
    work: Work, folder: TrainingFolder, settings: TrainingSettings, is_stopped: Callable[[], bool]
) -> None:
    started = time.time()
    state = {"work": str(work), "since": started, "generation": folder.generation}
    write_json(settings.folder / STATE, state)
    _say(f"{work} …")
    run_processes(
        work.stage,
        commands(work, folder, settings),
        log=settings.folder / LOG,
        environment=_environment(settings),
        max_memory_gib=settings.max_memory_gib,
        is_stopped=is_stopped,
    )
    _say(f"{work}: {time.time() - started:.0f} s")
    _record(settings.folder / TURNS, {**state, "seconds": round(time.time() - started, 1)})


def commands(
    work: Work, folder: TrainingFolder, settings: TrainingSettings
) -> list[tuple[str, ...]]:
    """Returns the commands of a turn, one for each process."""
    python = str(settings.teacher_python) if work.needs_teacher else sys.executable
    command = (python, "-m", f"training.{work.stage}", *work.arguments)
    if work.stage == "evaluate":
        command = (*command, str(folder.voice))
    size = settings.num_processes
    if work.has_workers:
        return [(*command, "--worker", str(n), "--workers", str(size)) for n in range(size)]
    if not work.is_training:
        return [command]
    port = ("--port", str(free_port()))
    command = (*command, "--minutes", f"{settings.turn_minutes:g}", "--world", str(size), *port)
    return [(*command, "--rank", str(rank)) for rank in range(size)]


def _environment(settings: TrainingSettings) -> dict[str, str]:
    """Returns the environment of stages: one thread each, and the compiler's cache kept."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(settings.folder / COMPILED),
        # A pool of compiler processes would hold memory for as long as the stage runs.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


def _record(path: Path, record: dict[str, object]) -> None:
    with path.open("a") as file:
        file.write(f"{json.dumps(record)}\n")


def _say(line: str) -> None:
    print(f"training: {line}", flush=True)

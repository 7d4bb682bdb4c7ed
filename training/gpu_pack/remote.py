"""`python run.py MINUTES` on the rented machine: trains the pack's stages, collects the results."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from training.errors import TrainingError
from training.folder import TrainingFolder
from training.gpu_pack.layout import stage_folder
from training.gpu_pack.results import MAX_RESULT_BYTES, collect, write_results
from training.gpu_pack.unpacking import check_pack, unpack
from training.lock import hold_lock
from training.recipe import provenance
from training.stage import StopRequest, run_stage
from training.states import newest_step

COLLECT_EVERY_SEC = 60.0
POLL_SEC = 0.5
LAST_SEC = 20.0
"""Kept for the last saves and the last results."""

GPU_BATCH_TOKENS = 40_000


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python run.py", description=__doc__)
    parser.add_argument("minutes", type=float, help="time for all of it")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results")
    parser.add_argument(
        "--results-mb",
        type=float,
        default=MAX_RESULT_BYTES / 1e6,
        help="of all results together; optimizers are rounded, then left out, if they take more",
    )
    parser.add_argument("--batch-tokens", type=int, help="of the language model, in one step")
    options = parser.parse_args(arguments)
    end = time.monotonic() + 60 * options.minutes
    stop = StopRequest()
    stop.listen()
    pack = Path.cwd()
    manifest = check_pack(pack)
    stages: list[str] = manifest["stages"]
    folder = TrainingFolder(pack / "work")
    unpack(pack, folder, stages)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{device}, torch {torch.__version__}: {', '.join(stages)}", flush=True)
    first_steps = {stage: newest_step(stage_folder(folder, stage)) for stage in stages}
    info = {"pack": manifest["pack"], "encoder": manifest["encoder"], "device": device}

    def write() -> None:
        line = write_results(
            options.results.resolve(),
            collect(folder, first_steps),
            {**info, **provenance()},
            max_bytes=int(options.results_mb * 1e6),
        )
        print(f"results: {line}", flush=True)

    # The stages are children of this process, so they do not ask for the lock again.
    with hold_lock(folder.root):
        minutes = max(0.0, end - LAST_SEC - time.monotonic()) / 60
        processes = {
            stage: start_stage(
                folder, stage, stage_arguments(stage, minutes, batch_tokens=options.batch_tokens)
            )
            for stage in stages
        }
        follow(processes, write, is_stopped=stop)


def stage_arguments(stage: str, minutes: float, *, batch_tokens: int | None) -> list[str]:
    arguments = [f"--minutes={minutes:.3f}"]
    if stage == "language_model":
        if batch_tokens is None and torch.cuda.is_available():
            batch_tokens = GPU_BATCH_TOKENS
        if batch_tokens is not None:
            arguments.append(f"--batch-tokens={batch_tokens}")
    return arguments


def start_stage(
    folder: TrainingFolder, stage: str, arguments: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Starts a stage. All run at the same time: none of them is large enough to fill a GPU."""
    command = (sys.executable, "-m", "training.gpu_pack.saving_stage", stage, *arguments)
    environment = {
        # Compiling takes minutes of the ten.
        "TRAINING_COMPILE": "0",
        **os.environ,
        "TRAINING_DIR": str(folder.root),
    }
    return subprocess.Popen(command, env=environment)


def follow(
    processes: Mapping[str, subprocess.Popen[bytes]],
    write: Callable[[], None],
    *,
    is_stopped: Callable[[], bool],
) -> None:
    """Collects results every minute and when all stages have ended.

    Raises `TrainingError` if a stage failed; the results of the others are written nevertheless.
    """
    collected_at = time.monotonic()
    has_passed_stop = False
    while any(process.poll() is None for process in processes.values()):
        if is_stopped() and not has_passed_stop:
            for process in processes.values():
                process.terminate()
            has_passed_stop = True
        if time.monotonic() - collected_at >= COLLECT_EVERY_SEC:
            write()
            collected_at = time.monotonic()
        time.sleep(POLL_SEC)
    write()
    failed = [name for name, process in processes.items() if process.returncode]
    if failed:
        raise TrainingError(f"{', '.join(failed)} failed: the lines above say why")


if __name__ == "__main__":
    run_stage(main)

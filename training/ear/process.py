"""The ear as a process: it runs in the environment of `requirements-training.txt`."""

import ctypes
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from training.errors import TrainingError
from training.settings import ROOT, TrainingSettings

POLL_SEC = 0.2
_PR_SET_PDEATHSIG = 1


def start_ear(
    settings: TrainingSettings, is_stopped: Callable[[], bool]
) -> Callable[[Sequence[Path], Path], None]:
    """Returns a function that appends what is heard of files of recordings to JSON lines.

    It raises `TrainingError` if the ear fails or is not installed. A stop request ends the ear
    after the recording that it hears; if this process is killed, the kernel kills the ear.
    """
    python = settings.teacher_python

    def hear(paths: Sequence[Path], output: Path) -> None:
        if not paths:
            return
        if not python.exists():
            raise TrainingError(f"{python} is missing: run 'make train-setup', which installs it")
        command = (str(python), "-m", "training.ear", "hear", *map(str, paths), "--to", str(output))
        libc = ctypes.CDLL(None)
        # It has the priority of this command, as `run_processes` does not give it.
        with subprocess.Popen(
            command,
            cwd=ROOT,
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        ) as process:
            while not _has_ended(process):
                if is_stopped():
                    process.terminate()
        if process.returncode:
            raise TrainingError(f"the ear ended with status {process.returncode}")

    return hear


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Waits a moment for the end."""
    try:
        process.wait(POLL_SEC)
    except subprocess.TimeoutExpired:
        return False
    return True

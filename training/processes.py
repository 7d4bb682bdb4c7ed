"""Processes of a stage: they never outlive the run, and the end of one ends all of them.

Standard library only.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from training.errors import TrainingError
from training.priority import descendants, lower_session_share, private_memory_bytes

POLL_SEC = 0.5
STOP_SEC = 60.0
"""How long a stage may take to save after SIGTERM; a step takes seconds on a busy machine."""

_PR_SET_PDEATHSIG = 1
_GIB = 1024**3


def run_processes(
    stage: str,
    commands: Sequence[Sequence[str]],
    *,
    log: Path,
    environment: Mapping[str, str],
    max_memory_gib: float,
    is_stopped: Callable[[], bool],
) -> None:
    """Runs commands at once until all have ended.

    Raises `TrainingError` with the last line of the log if one fails. A stop request is passed on
    as SIGTERM. If this process is killed, the kernel kills the commands.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"--- {stage}\n".encode())
        output.flush()
        start = log.stat().st_size
        processes = [_start(command, output.fileno(), environment) for command in commands]
        try:
            _wait(stage, processes, max_memory_gib=max_memory_gib, is_stopped=is_stopped)
        except TrainingError as error:
            reason = _last_line(log, start)
            raise TrainingError(f"{error}{f': {reason}' if reason else ''} (log: {log})") from error
        finally:
            _kill(processes)


def free_port() -> int:
    """Returns a port of 127.0.0.1 that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _start(
    command: Sequence[str], output: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        lower_session_share()
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the call.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=prepare,
    )


def _wait(
    stage: str,
    processes: Sequence[subprocess.Popen[bytes]],
    *,
    max_memory_gib: float,
    is_stopped: Callable[[], bool],
) -> None:
    stopped_at: float | None = None
    while any(process.poll() is None for process in processes):
        for process in processes:
            if process.poll():
                raise TrainingError(f"{stage}: {_end(process.returncode)}")
        if is_stopped() and stopped_at is None:
            stopped_at = time.monotonic()
            for process in processes:
                process.terminate()
        if stopped_at is not None and time.monotonic() - stopped_at > STOP_SEC:
            raise TrainingError(f"{stage}: did not end within {STOP_SEC:.0f} s of SIGTERM")
        # Not all of this process's: a test that runs after others has servers beside them.
        running = [each for process in processes for each in descendants(process.pid)]
        used_gib = private_memory_bytes(running) / _GIB
        if used_gib > max_memory_gib:
            raise TrainingError(
                f"{stage}: holds {used_gib:.1f} GiB, TRAINING_MAX_MEMORY_GIB is {max_memory_gib:g}"
            )
        time.sleep(POLL_SEC)
    for process in processes:
        if process.returncode:
            raise TrainingError(f"{stage}: {_end(process.returncode)}")


def _end(status: int) -> str:
    if status < 0:
        return f"a process was ended by {signal.Signals(-status).name}"
    return f"a process ended with status {status}"


def _kill(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def _last_line(log: Path, start: int) -> str:
    """Returns the last line that the stage wrote, without this project's prefix."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("training: ") if lines else ""

"""A real server with a checkpoint, on a free port of this machine."""

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from training.errors import TrainingError
from training.processes import free_port
from training.settings import ROOT

START_LIMIT_SEC = 600.0
"""A busy machine needs minutes to load vLLM in idle time."""

STOP_LIMIT_SEC = 60.0

KEPT = ("PATH", "HOME", "OMP_NUM_THREADS", "XDG_CACHE_HOME", "TMPDIR")
"""Variables that the server gets from here."""

_PR_SET_PDEATHSIG = 1


class Server:
    """`with Server(checkpoint, log) as server`: ready when the block starts, ended with it."""

    def __init__(
        self,
        checkpoint: Path,
        log: Path,
        *,
        max_attempts: int | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._checkpoint = checkpoint
        self.log = log
        self._max_attempts = max_attempts
        self._is_stopped = is_stopped
        self.port = free_port()

    def __enter__(self) -> Self:
        parent = os.getpid()
        libc = ctypes.CDLL(None)

        def end_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orpheus_server.cli", "serve"],
                # A user's .env is not read there.
                cwd=self.log.parent,
                env=environment_of(self._checkpoint, self.port, self._max_attempts),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_parent,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server; kills it if it does not end by itself."""
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_SEC)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT_SEC
        while not self._is_ready():
            if self._process.poll() is not None:
                raise TrainingError(f"the server did not start (log: {self.log})")
            if time.monotonic() > limit or self._is_stopped():
                raise TrainingError(f"the server was not ready in time (log: {self.log})")
            time.sleep(0.5)

    def _is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("GET", "/ready")
                return connection.getresponse().status == 200
            finally:
                connection.close()
        return False


def environment_of(checkpoint: Path, port: int, max_attempts: int | None = None) -> dict[str, str]:
    """Returns the environment of a server that has no settings but these."""
    attempts = {} if max_attempts is None else {"TTS_MAX_ATTEMPTS": str(max_attempts)}
    return {
        **attempts,
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TTS_MODEL_NAME": str(checkpoint),
    }

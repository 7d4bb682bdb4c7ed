"""A real server on a free port of this machine, and its speech."""

import ctypes
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from training.ear.recordings import Pcm
from training.errors import TrainingError
from training.processes import free_port
from training.settings import ROOT

START_LIMIT_SEC = 600.0
"""A busy machine needs minutes to load vLLM in idle time."""

ANSWER_LIMIT_SEC = 600.0
LOG_LIMIT_SEC = 10.0
"""The line of a request is written after its last byte."""

_PR_SET_PDEATHSIG = 1
_LINE = re.compile(
    r"request=(?P<id>\S+) .*chunks=(?P<chunks>\d+) attempts=(?P<attempts>\d+) "
    r"degraded=(?P<degraded>\d+) "
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its samples, empty if it failed, and the seconds until its last byte."""

    request_id: str
    samples: Pcm
    elapsed_sec: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the server's log says of a request."""

    num_chunks: int
    num_attempts: int
    num_degraded: int


class Server:
    """`with Server(checkpoint, log) as server`: ready when the block starts, ended with it."""

    def __init__(
        self, checkpoint: Path, log: Path, *, is_stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._checkpoint = checkpoint
        self._log = log
        self._is_stopped = is_stopped
        self.port = free_port()

    def __enter__(self) -> Self:
        parent = os.getpid()
        libc = ctypes.CDLL(None)

        def end_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orpheus_server.cli", "serve"],
                # A user's .env is not read there.
                cwd=self._log.parent,
                env=_environment(self._checkpoint, self.port),
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
            self._process.wait(60.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def speak(self, body: Mapping[str, Any]) -> Answer:
        """Requests speech as a WAV file. Raises `TrainingError` if the server is gone."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_LIMIT_SEC)
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", "/v1/audio/speech", json.dumps(body), headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise TrainingError(f"the server failed: {error!r} (log: {self._log})") from error
        finally:
            connection.close()
        elapsed_sec = time.perf_counter() - started
        request_id = response.headers["x-request-id"] or ""
        if response.status != 200:
            reason = data.decode(errors="replace")[:300]
            return Answer(request_id, np.zeros(0, np.int16), elapsed_sec, reason)
        return Answer(request_id, read_wav(data), elapsed_sec)

    def counts_of(self, request_ids: list[str]) -> dict[str, Counts]:
        """Returns what the log says of requests; one whose line is missing is left out."""
        limit = time.monotonic() + LOG_LIMIT_SEC
        while True:
            found = parse_log(self._log.read_text(errors="replace"))
            if found.keys() >= set(request_ids) or time.monotonic() > limit:
                return {each: found[each] for each in request_ids if each in found}
            time.sleep(0.1)

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT_SEC
        while not self._is_ready():
            if self._process.poll() is not None:
                raise TrainingError(f"the server did not start (log: {self._log})")
            if time.monotonic() > limit or self._is_stopped():
                raise TrainingError(f"the server was not ready in time (log: {self._log})")
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


def _environment(checkpoint: Path, port: int) -> dict[str, str]:
    """Returns the server's environment: no settings but these."""
    names = ("PATH", "HOME", "OMP_NUM_THREADS", "XDG_CACHE_HOME", "TMPDIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TTS_MODEL_NAME": str(checkpoint),
    }


def read_wav(data: bytes) -> Pcm:
    """Returns the samples of a WAV file."""
    with wave.open(io.BytesIO(data), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def parse_log(text: str) -> dict[str, Counts]:
    """Returns the counts of each request in a server's log."""
    return {
        match["id"]: Counts(int(match["chunks"]), int(match["attempts"]), int(match["degraded"]))
        for match in _LINE.finditer(text)
    }

"""A real server in a separate process, killed with all its descendants."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.served import wait_until

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_SEC = 240.0


@dataclass(frozen=True)
class StreamResult:
    """The result of a streamed request; `is_whole` if the body was complete.

    `ended_at` is in seconds of `time.monotonic`.
    """

    status: int
    num_bytes: int
    is_whole: bool
    ended_at: float


class ServerProcess:
    """`with ServerProcess(folder, **environment) as server`: ready when the block starts.

    The log is `log-PORT` in the folder. `python` may be that of another environment. All processes
    are killed when the block ends.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        python: str = sys.executable,
        **environment: str,
    ) -> None:
        self.port = port or free_port()
        self._python = python
        self.log = folder / f"log-{self.port}"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "TTS_MODEL_NAME": "pocket",
            **environment,
        }
        self._seen: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self._python, "-m", "orpheus_server.cli", "serve"],
                cwd=self.log.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.descendants()
        self.process.kill()
        self.process.wait()
        for process in self._seen:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def descendants(self) -> list[psutil.Process]:
        """Returns the living descendants of the server."""
        with suppress(psutil.NoSuchProcess):
            self._seen.update(psutil.Process(self.process.pid).children(recursive=True))
        return sorted(filter(is_alive, self._seen), key=lambda process: int(process.pid))

    def core(self) -> psutil.Process:
        """Returns the only engine core."""
        cores = []
        for process in self.descendants():
            with suppress(psutil.Error):
                if any("VLLM::EngineCore" in part for part in process.cmdline()):
                    cores.append(process)
        assert len(cores) == 1, cores
        return cores[0]

    def status(self, path: str) -> tuple[int, str | None]:
        """Returns status and `retry-after` of a GET; status 0 if the server cannot be reached."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers["retry-after"]
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def num_active(self) -> int:
        """Returns the number of generations in the engine."""
        return self._health("active_generations")

    def num_waiting(self) -> int:
        """Returns the number of requests that wait for the model or for their turn."""
        return self._health("waiting_requests")

    def _health(self, name: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
            count: int = json.load(answer)[name]
            return count

    def wait_ready(self) -> float:
        """Waits until `/ready` is 200; returns the seconds it took."""
        started = time.monotonic()

        def is_ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            self.descendants()
            return self.status("/ready")[0] == 200

        wait_until(is_ready, limit_sec=START_LIMIT_SEC, pause_sec=0.1)
        return time.monotonic() - started

    def speak(self, text: str) -> StreamResult:
        """Reads a streamed response until it ends or breaks off."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        status, num_bytes, is_whole = 0, 0, False
        body = {"input": text, "voice": "leo", "response_format": "pcm"}
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", "/v1/audio/speech", json.dumps(body), headers)
            answer = connection.getresponse()
            status = answer.status
            while block := answer.read1(65536):
                num_bytes += len(block)
            is_whole = answer.isclosed()
        except (OSError, http.client.HTTPException):
            is_whole = False
        finally:
            connection.close()
        return StreamResult(status, num_bytes, is_whole, time.monotonic())


def free_port() -> int:
    """Returns a port that is not in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_alive(process: psutil.Process) -> bool:
    """Returns whether the process exists and is not a zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False

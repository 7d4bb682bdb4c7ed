"""`deploy/haproxy.cfg` with the real HAProxy in front of two real servers."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.served import wait_until
from tests.support.server_process import ROOT, ServerProcess, free_port

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="apt-get install haproxy"),
]

KEY = "a-key-of-the-test"
NUM_CALLERS, NUM_REQUESTS = 4, 24
SENTENCE = "The quick brown fox jumps over the lazy dog."
PAGE = f"{SENTENCE} " * 6


@dataclass(frozen=True)
class Spoken:
    """One answer: its status, bytes, seconds to the first and the last, and the error of a 503."""

    status: int
    num_bytes: int
    first_sec: float
    total_sec: float
    error: str = ""


@contextmanager
def proxy(folder: Path, *servers: ServerProcess) -> Iterator[int]:
    """Yields the port of a HAProxy over these two servers."""
    port = free_port()
    names = {
        f"ORPHEUS_{letter}": f"127.0.0.1:{server.port}"
        for letter, server in zip("AB", servers, strict=True)
    }
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(ROOT / "deploy" / "haproxy.cfg")],
            env={"PATH": os.environ["PATH"], "ORPHEUS_BIND": f"127.0.0.1:{port}", **names},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: speak(port, "").status == 400, limit_sec=20, pause_sec=0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def speak(port: int, text: str) -> Spoken:
    """Reads a streamed answer; status 0 if it broke off or there was none."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/audio/speech",
        json.dumps({"input": text, "voice": "leo", "response_format": "pcm"}).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    started, num_bytes, first_sec = time.monotonic(), 0, 0.0
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            while block := answer.read1(65536):
                first_sec = first_sec or time.monotonic() - started
                num_bytes += len(block)
            return Spoken(answer.status, num_bytes, first_sec, time.monotonic() - started)
    except urllib.error.HTTPError as error:
        return Spoken(error.code, 0, 0.0, 0.0, error.read().decode())
    except OSError:
        return Spoken(0, num_bytes, first_sec, time.monotonic() - started)


def num_spoken(server: ServerProcess) -> int:
    """Returns how many requests the server has answered in full, from its log."""
    return server.log.read_text().count(" outcome=done ")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        yield [
            stack.enter_context(ServerProcess(folder, API_KEYS=KEY, TTS_MAX_STREAMS="8"))
            for _ in range(2)
        ]


def test_two_servers_behind_haproxy(servers: list[ServerProcess], tmp_path: Path) -> None:
    """One is stopped while requests run; later the other one is killed."""
    first, second = servers
    with proxy(tmp_path, first, second) as port, ThreadPoolExecutor(NUM_CALLERS) as callers:
        # Streams pass through: the first byte comes long before the last one.
        stream = speak(port, PAGE)
        assert stream.status == 200
        assert stream.first_sec < stream.total_sec / 2

        # A WebSocket passes through.
        address = f"ws://127.0.0.1:{port}/v1/audio/stream"
        with connect(address, additional_headers={"authorization": f"Bearer {KEY}"}) as session:
            session.send(json.dumps({"type": "session.start"}))
            assert "type" in json.loads(session.recv(timeout=30))

        # Both are used.
        assert all(each.status == 200 for each in callers.map(speak, [port] * 8, [SENTENCE] * 8))
        assert all(num_spoken(server) > 0 for server in servers)

        # One is stopped in the middle: its running requests finish, new ones go to the other one.
        running = [callers.submit(speak, port, SENTENCE) for _ in range(NUM_REQUESTS)]
        wait_until(lambda: first.num_active() > 0, limit_sec=30, pause_sec=0.01)
        first.process.send_signal(signal.SIGTERM)
        answers = [each.result() for each in running]
        assert [(each.status, each.error) for each in answers] == [(200, "")] * NUM_REQUESTS
        assert all(each.num_bytes > 20_000 for each in answers)
        assert first.process.wait(60) == 0

        # No server is left: the error has the shape of the servers' own ones.
        second.process.kill()
        second.process.wait()
        wait_until(lambda: speak(port, SENTENCE).status == 503, limit_sec=20, pause_sec=0.1)
        error = json.loads(speak(port, SENTENCE).error)["error"]
        assert (error["code"], error["param"]) == ("engine_unavailable", None)

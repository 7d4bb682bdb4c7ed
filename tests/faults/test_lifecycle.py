"""How a real server starts and ends."""

import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.faults.callers import is_speech, pcm
from tests.faults.fault_server import PAGE, SENTENCE, FaultServer
from tests.faults.rows import Row
from tests.faults.test_sockets import DONE, delta, session, speak
from tests.support.served import wait_until
from tests.support.server_process import ROOT, START_LIMIT_SEC, ServerProcess

pytestmark = [pytest.mark.engine, pytest.mark.slow]


class UnreadyServer(FaultServer):
    """Can be used while it is still loading."""

    def wait_ready(self) -> float:
        return 0.0


def of_session(number: int) -> list[psutil.Process]:
    """Returns the processes that a server started, including those with another parent by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            if process.pid != number and not is_dead and os.getsid(process.pid) == number:
                found.append(process)
    return found


def test_requests_while_it_loads_and_a_second_sigterm(tmp_path: Path, rows: list[Row]) -> None:
    with UnreadyServer(tmp_path, TTS_DRAIN_SEC="600", TTS_QUEUE_WAIT_SEC="0.5") as server:
        wait_until(lambda: server.status("/health")[0] == 200, limit_sec=60)
        assert server.status("/ready") == (503, "30")
        summary = []
        ways: tuple[dict[str, Any], ...] = ({}, {"stream": False}, {"stream_format": "sse"})
        for way in ways:
            answer = server.ask(**way)
            summary.append(answer.summary)
            assert (answer.status, answer.headers["retry-after"]) == (503, "30")
            assert answer.error["code"] == "engine_unavailable"
        with pytest.raises(InvalidStatus) as refused, session(server):
            pass
        assert refused.value.response.status_code == 503
        assert server.status("/health")[0] == 200
        ready_sec = ServerProcess.wait_ready(server)
        after = server.ask()
        assert is_speech(pcm(after.body), 1.5, 6)
        seen = f"{', '.join(summary)}; WebSocket 503; /health 200, /ready 503; "
        seen += f"ready {ready_sec:.0f} s later"
        done = "requests while the model loads"
        rows.append(Row("24 load", done, seen, answers_after=after.summary))
        check_second_signal(server, rows)


def speak_over_socket(server: FaultServer) -> bytes:
    with session(server, open_sec=600) as socket:
        return speak(socket, SENTENCE)


def test_requests_that_wait_while_it_loads(tmp_path: Path, rows: list[Row]) -> None:
    """They got 503 at once, which curl saved as speech.wav."""
    with UnreadyServer(tmp_path, TTS_QUEUE_WAIT_SEC="600") as server:
        wait_until(lambda: server.status("/health")[0] == 200, limit_sec=60)
        with ThreadPoolExecutor(3) as callers:
            held = [callers.submit(server.ask, stream=stream) for stream in (True, False)]
            spoken = callers.submit(speak_over_socket, server)
            wait_until(lambda: server.num_waiting() == 3, limit_sec=30)
            assert server.status("/ready")[0] == 503
            answers = [each.result() for each in held]
            sound = spoken.result()
        seen = f"{', '.join(answer.summary for answer in answers)}; WebSocket accepted"
        rows.append(Row("24 load", "requests that wait while the model loads", seen))
        assert all(is_speech(pcm(answer.body), 1.5, 6) for answer in answers)
        assert is_speech(pcm(sound), 1.5, 6)


def test_sigterm_ends_the_wait(tmp_path: Path, rows: list[Row]) -> None:
    with UnreadyServer(tmp_path, TTS_QUEUE_WAIT_SEC="600") as server:
        wait_until(lambda: server.status("/health")[0] == 200, limit_sec=60)
        with ThreadPoolExecutor(1) as callers:
            held = callers.submit(server.ask)
            wait_until(lambda: server.num_waiting() == 1, limit_sec=30)
            signalled = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            answer = held.result()
            took_sec = time.monotonic() - signalled
        assert server.process.wait(100) == 0
    seen = f"{answer.summary} after {took_sec:.1f} s"
    rows.append(Row("24 load", "SIGTERM while a request waits", seen))
    assert (answer.status, answer.error["code"]) == (503, "shutting_down")
    assert took_sec < 2


def check_second_signal(server: FaultServer, rows: list[Row]) -> None:
    with ThreadPoolExecutor(2) as callers:
        running = [callers.submit(server.ask, input=PAGE * 4) for _ in range(2)]
        wait_until(lambda: server.num_active() >= 2, limit_sec=20)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=5)
        signalled = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = [each.result() for each in running]
        cut_sec = time.monotonic() - signalled
        status = server.process.wait(60)
        took_sec = time.monotonic() - signalled
        wait_until(lambda: not of_session(server.process.pid), limit_sec=10)
    summary = ", ".join(answer.summary for answer in answers)
    seen = f"{summary} after {cut_sec:.2f} s; exit status {status} after {took_sec:.1f} s"
    rows.append(Row("24 SIGTERM twice", "a second SIGTERM while two requests end", seen))
    assert not any(answer.is_whole for answer in answers)
    assert cut_sec < 2
    assert status == 0


@pytest.mark.parametrize("kind", ["no such folder", "no weights", "broken weights"])
def test_a_bad_model(tmp_path: Path, rows: list[Row], kind: str) -> None:
    folder = tmp_path / "model"
    if kind != "no such folder":
        shutil.copytree(ROOT / "models" / "pocket", folder)
        (folder / "model.safetensors").unlink()
    if kind == "broken weights":
        (folder / "model.safetensors").write_bytes(b"\0" * 10_000)
    started = time.monotonic()
    server = UnreadyServer(tmp_path, TTS_MODEL_NAME=str(folder))
    with server:
        status = server.process.wait(60)
        took_sec = time.monotonic() - started
        wait_until(lambda: not of_session(server.process.pid), limit_sec=10)
    log = server.log.read_text()
    seen = f"exit status {status} after {took_sec:.1f} s, no process left"
    rows.append(Row("24 model", f"a start with {kind}", seen))
    assert status in (1, 2)
    assert str(folder) in log or "safetensors" in log


@pytest.mark.parametrize("moment", ["Started server process", "model pocket", "VLLM::"])
def test_ctrl_c_while_it_loads(tmp_path: Path, rows: list[Row], moment: str) -> None:
    """It printed tracebacks, or waited for up to 40 s until the model was loaded."""

    def has_come() -> bool:
        titles = [process.cmdline()[:1] for process in server.descendants()]
        return moment in server.log.read_text() or any(moment in str(title) for title in titles)

    with UnreadyServer(tmp_path) as server:
        wait_until(has_come, limit_sec=START_LIMIT_SEC, pause_sec=0.1)
        # As a terminal does.
        os.killpg(server.process.pid, signal.SIGINT)
        signalled = time.monotonic()
        status = server.process.wait(60)
        took_sec = time.monotonic() - signalled
        wait_until(lambda: not of_session(server.process.pid), limit_sec=10)
    log = server.log.read_text()
    seen = f"exit status {status} after {took_sec:.1f} s, no process left"
    rows.append(Row("24 Ctrl-C", f"Ctrl-C after {moment!r}", seen))
    assert status == 0
    # Loading torch's libraries blocks the whole process, on a busy machine for many seconds.
    assert took_sec < 30
    assert "Traceback" not in log
    assert "leaked" not in log


def rest_of(socket: ClientConnection) -> tuple[list[dict[str, Any]], bytes, int]:
    """Returns the events and the audio until the session is closed, and its close code."""
    events, sound = [], b""
    try:
        while True:
            message = socket.recv(timeout=60)
            if isinstance(message, bytes):
                sound += message
            else:
                events.append(json.loads(message))
    except ConnectionClosed as closed:
        return events, sound, closed.rcvd.code if closed.rcvd else 0


def test_sigterm_under_load(tmp_path: Path, rows: list[Row]) -> None:
    text = f"{SENTENCE} " * 6
    with (
        FaultServer(tmp_path, TTS_DRAIN_SEC="90") as server,
        ThreadPoolExecutor(4) as callers,
        session(server) as socket,
    ):
        running = [callers.submit(server.ask, input=text) for _ in range(2)]
        running.append(callers.submit(server.ask, input=text, stream=False))
        for event in (delta(text), DONE):
            socket.send(json.dumps(event))
        while not isinstance(socket.recv(timeout=30), bytes):
            pass
        wait_until(lambda: server.num_active() >= 4, limit_sec=20)
        server.process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=5)
        refused = server.ask()
        assert (refused.status, refused.error["code"]) == (503, "shutting_down")
        assert refused.headers["connection"] == "close"
        assert refused.headers["retry-after"] == "10"
        assert server.status("/health")[0] == 200
        events, sound, code = rest_of(socket)
        answers = [each.result() for each in running]
        status = server.process.wait(100)
        took_sec = time.monotonic() - signalled
        wait_until(lambda: not of_session(server.process.pid), limit_sec=10)
    kinds = [event["type"] for event in events]
    seen = (
        f"{', '.join(answer.summary for answer in answers)} whole; new one {refused.summary}; "
        f"WebSocket {kinds[-2:]}, closed with {code}; exit status {status} after {took_sec:.1f} s"
    )
    rows.append(Row("24 SIGTERM", "SIGTERM with three requests and a session", seen))
    assert [(answer.status, answer.is_whole) for answer in answers] == [(200, True)] * 3
    assert all(is_speech(pcm(answer.body), 12, 30) for answer in answers)
    assert is_speech(pcm(sound), 10, 30)
    assert kinds[-2:] == ["audio.done", "error"]
    assert events[-1]["error"]["code"] == "shutting_down"
    assert code == 1001
    assert status == 0

"""Stopping: running requests finish, new ones are rejected."""

import asyncio
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from orpheus_server.fakes import Script
from orpheus_server.server.uvicorn_config import server_config
from orpheus_server.server.uvicorn_server import GracefulServer, run_until_stopped
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, held_script, speech_ids
from tests.support.harness import SENTENCE, whole_script
from tests.support.served import UvicornThread, wait_until


class Draining(UvicornThread):
    """The app with fakes on a server that drains."""

    def __init__(self, drain_sec: float = WAIT_LIMIT_SEC) -> None:
        self.fakes = FakeServer(settings=Settings(tts_drain_sec=drain_sec))
        config = server_config(self.fakes.build_app(), self.fakes.settings, port=0)
        self.server = GracefulServer(
            config, begin_drain=lambda: self.fakes.runtime.begin_drain(), drain_sec=drain_sec
        )
        super().__init__(self.server)

    def signal(self) -> None:
        """Does what SIGTERM does."""
        self.server.handle_exit(signal.SIGTERM, None)

    def open_gate(self, gate: asyncio.Event) -> None:
        async def open_it() -> None:
            gate.set()

        self.run(open_it())

    @contextmanager
    def speak(self) -> Iterator[httpx2.Response]:
        body = {"input": SENTENCE, "response_format": "pcm"}
        url = f"{self.url}/v1/audio/speech"
        with httpx2.stream("POST", url, json=body, timeout=WAIT_LIMIT_SEC) as response:
            yield response


@pytest.fixture
def drained() -> Iterator[Draining]:
    with Draining() as server:
        yield server


def get(server: Draining, path: str) -> tuple[int, Any]:
    response = httpx2.get(f"{server.url}{path}")
    return response.status_code, response


def test_a_running_response_is_completed(drained: Draining) -> None:
    gate = asyncio.Event()
    drained.fakes.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
    with drained.speak() as response:
        pieces = response.iter_raw()
        first = next(pieces)
        drained.signal()
        wait_until(drained.fakes.runtime.draining.is_set)
        # The port still answers, and reports that the server is stopping.
        assert get(drained, "/health")[0] == 200
        status, ready = get(drained, "/ready")
        assert (status, ready.json()["error"]["code"]) == (503, "shutting_down")
        body = {"input": SENTENCE}
        rejected = httpx2.post(f"{drained.url}/v1/audio/speech", json=body)
        assert rejected.status_code == 503
        assert rejected.headers["connection"] == "close"
        assert rejected.headers["retry-after"] == "10"
        drained.open_gate(gate)
        rest = b"".join(pieces)
    assert len(first + rest) == 30 * 2 * 2048
    wait_until(lambda: not drained.fakes.engine.num_active)


def test_a_second_signal_cuts_off_running_requests(drained: Draining) -> None:
    drained.fakes.engine.enqueue(Script(speech_ids(12), hangs_at_end=True))
    with drained.speak() as response:
        pieces = response.iter_raw()
        next(pieces)
        drained.signal()
        wait_until(drained.fakes.runtime.draining.is_set)
        drained.signal()
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
            for _ in pieces:
                pass
    drained._thread.join(WAIT_LIMIT_SEC)
    assert not drained._thread.is_alive()
    assert drained.fakes.engine.num_active == 0


def test_a_request_cut_off_before_its_response_gets_an_error(drained: Draining) -> None:
    """The error was uvicorn's plain text."""
    drained.fakes.engine.enqueue(Script((), hangs_at_end=True, gate=asyncio.Event()))
    body = {"input": SENTENCE, "response_format": "pcm"}
    responses: list[httpx2.Response] = []

    def send_request() -> None:
        url = f"{drained.url}/v1/audio/speech"
        responses.append(httpx2.post(url, json=body, timeout=WAIT_LIMIT_SEC))

    client = threading.Thread(target=send_request)
    client.start()
    wait_until(lambda: drained.fakes.engine.num_active == 1)
    drained.signal()
    drained.signal()
    client.join()
    assert responses[0].status_code == 503
    assert responses[0].json()["error"]["code"] == "shutting_down"


def test_requests_are_cut_off_after_the_drain_time() -> None:
    with Draining(drain_sec=0.1) as server:
        server.fakes.engine.enqueue(Script(speech_ids(12), hangs_at_end=True))
        with server.speak() as response:
            pieces = response.iter_raw()
            next(pieces)
            server.signal()
            with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
                for _ in pieces:
                    pass
        server._thread.join(WAIT_LIMIT_SEC)
        assert not server._thread.is_alive()
        assert server.fakes.engine.num_active == 0


def test_an_idle_server_stops_immediately() -> None:
    with Draining(drain_sec=3600) as server:
        # The server does not wait for an idle connection.
        with httpx2.Client(base_url=server.url) as client:
            assert json.loads(client.get("/health").content)["status"] == "healthy"
            server.signal()
            server._thread.join(WAIT_LIMIT_SEC)
        assert not server._thread.is_alive()


@pytest.mark.parametrize(("is_started", "num_abandoned"), [(False, 1), (True, 0)])
def test_a_signal_before_the_port_answers_ends_the_process(
    is_started: bool, num_abandoned: int
) -> None:
    """uvicorn waited until torch was imported, which takes seconds."""
    fakes = FakeServer()
    config = server_config(fakes.build_app(), fakes.settings, port=0)
    abandoned: list[bool] = []
    server = GracefulServer(
        config, begin_drain=lambda: None, drain_sec=0.1, abandon=lambda: abandoned.append(True)
    )
    server.started = is_started
    server.handle_exit(signal.SIGINT, None)
    assert server.should_exit
    assert len(abandoned) == num_abandoned


def test_sigterm_is_a_normal_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn raises the signal again, and supervisors took the status 143 for a failure."""
    fakes = FakeServer()
    config = server_config(fakes.build_app(), fakes.settings, port=0)
    server = GracefulServer(config, begin_drain=lambda: None, drain_sec=0.1)
    before = signal.getsignal(signal.SIGTERM)

    def run(sockets: list[socket.socket] | None = None) -> None:
        assert sockets == []
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(server, "run", run)
    run_until_stopped(server, [])
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_break_is_a_normal_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Windows has the signal; another one stands for it here."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    fakes = FakeServer()
    config = server_config(fakes.build_app(), fakes.settings, port=0)
    server = GracefulServer(config, begin_drain=lambda: None, drain_sec=0.1)
    before = signal.getsignal(signal.SIGUSR1)

    def run(sockets: list[socket.socket] | None = None) -> None:
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(server, "run", run)
    run_until_stopped(server, [])
    assert signal.getsignal(signal.SIGUSR1) is before


def test_ctrl_c_is_a_normal_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FakeServer()
    config = server_config(fakes.build_app(), fakes.settings, port=0)
    server = GracefulServer(config, begin_drain=lambda: None, drain_sec=0.1)

    def run(sockets: list[socket.socket] | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "run", run)
    run_until_stopped(server, [])

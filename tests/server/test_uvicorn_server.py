"""Stopping: what runs ends, what comes is told to go elsewhere."""

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
from tests.support.served import UvicornThread, wait_until
from tests.support.stage import SENTENCE, whole_script


class Draining(UvicornThread):
    """The app over the fakes on a server that drains."""

    def __init__(self, drain_sec: float = WAIT_LIMIT_SEC) -> None:
        self.fakes = FakeServer(settings=Settings(tts_drain_sec=drain_sec))
        config = server_config(self.fakes.build_app(), self.fakes.settings, port=0)
        self.server = GracefulServer(
            config, begin_drain=lambda: self.fakes.runtime.begin_drain(), drain_sec=drain_sec
        )
        super().__init__(self.server)

    def signal(self) -> None:
        """What SIGTERM does."""
        self.server.handle_exit(signal.SIGTERM, None)

    def open_gate(self, gate: asyncio.Event) -> None:
        async def open_it() -> None:
            gate.set()

        self.run(open_it())

    @contextmanager
    def speak(self) -> Iterator[httpx2.Response]:
        body = {"input": SENTENCE, "response_format": "pcm"}
        url = f"{self.url}/v1/audio/speech"
        with httpx2.stream("POST", url, json=body, timeout=WAIT_LIMIT_SEC) as answer:
            yield answer


@pytest.fixture
def drained() -> Iterator[Draining]:
    with Draining() as server:
        yield server


def get(server: Draining, path: str) -> tuple[int, Any]:
    answer = httpx2.get(f"{server.url}{path}")
    return answer.status_code, answer


def test_what_runs_ends_whole(drained: Draining) -> None:
    gate = asyncio.Event()
    drained.fakes.engine.enqueue(held_script(whole_script(), gate, num_free_frames=10))
    with drained.speak() as answer:
        pieces = answer.iter_raw()
        first = next(pieces)
        drained.signal()
        wait_until(drained.fakes.runtime.draining.is_set)
        # The port answers, and says what is going on.
        assert get(drained, "/health")[0] == 200
        status, ready = get(drained, "/ready")
        assert (status, ready.json()["error"]["code"]) == (503, "shutting_down")
        body = {"input": SENTENCE}
        refused = httpx2.post(f"{drained.url}/v1/audio/speech", json=body)
        assert refused.status_code == 503
        assert refused.headers["connection"] == "close"
        assert refused.headers["retry-after"] == "10"
        drained.open_gate(gate)
        rest = b"".join(pieces)
    assert len(first + rest) == 30 * 2 * 2048
    wait_until(lambda: not drained.fakes.engine.num_active)


def test_a_second_signal_ends_it_at_once(drained: Draining) -> None:
    drained.fakes.engine.enqueue(Script(speech_ids(12), hangs_at_end=True))
    with drained.speak() as answer:
        pieces = answer.iter_raw()
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


def test_one_that_has_no_answer_yet_gets_one(drained: Draining) -> None:
    """It was uvicorn's plain text."""
    drained.fakes.engine.enqueue(Script((), hangs_at_end=True, gate=asyncio.Event()))
    body = {"input": SENTENCE, "response_format": "pcm"}
    answers: list[httpx2.Response] = []

    def ask() -> None:
        url = f"{drained.url}/v1/audio/speech"
        answers.append(httpx2.post(url, json=body, timeout=WAIT_LIMIT_SEC))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: drained.fakes.engine.num_active == 1)
    drained.signal()
    drained.signal()
    asking.join()
    assert answers[0].status_code == 503
    assert answers[0].json()["error"]["code"] == "shutting_down"


def test_the_end_of_its_time() -> None:
    with Draining(drain_sec=0.1) as server:
        server.fakes.engine.enqueue(Script(speech_ids(12), hangs_at_end=True))
        with server.speak() as answer:
            pieces = answer.iter_raw()
            next(pieces)
            server.signal()
            with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
                for _ in pieces:
                    pass
        server._thread.join(WAIT_LIMIT_SEC)
        assert not server._thread.is_alive()
        assert server.fakes.engine.num_active == 0


def test_with_nothing_to_do_it_ends_at_once() -> None:
    with Draining(drain_sec=3600) as server:
        # A connection that is kept open is nothing to wait for.
        with httpx2.Client(base_url=server.url) as client:
            assert json.loads(client.get("/health").content)["status"] == "healthy"
            server.signal()
            server._thread.join(WAIT_LIMIT_SEC)
        assert not server._thread.is_alive()


def test_sigterm_is_an_end_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn raises it once more, and a supervisor read a failure from the status 143."""
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


def test_ctrl_c_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FakeServer()
    config = server_config(fakes.build_app(), fakes.settings, port=0)
    server = GracefulServer(config, begin_drain=lambda: None, drain_sec=0.1)

    def run(sockets: list[socket.socket] | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "run", run)
    run_until_stopped(server, [])

"""Utterances wait for an engine slot as requests do."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from orpheus_server.settings import Settings
from tests.support.app import FakeServer, held_script, short_script
from tests.support.realtime import DONE, FLUSH, PATH, Session, delta
from tests.support.served import wait_until


class TestWaiting:
    """For a slot that another session holds."""

    @contextmanager
    def two(self, settings: Settings) -> Iterator[tuple[Session, Session, asyncio.Event]]:
        """Two sessions, the first of which is speaking until the gate opens."""
        server = FakeServer(settings=settings)
        gate = asyncio.Event()
        server.engine.enqueue(held_script(short_script(9), gate))
        with (
            server.client() as client,
            client.websocket_connect(PATH) as first_socket,
            client.websocket_connect(PATH) as second_socket,
        ):
            first = Session(server, client, first_socket)
            second = Session(server, client, second_socket)
            first.start()
            second.start()
            first.send(delta("Hello you."), DONE)
            wait_until(lambda: server.engine.num_active == 1)
            yield first, second, gate

    def test_an_utterance_waits_for_a_slot(self) -> None:
        with self.two(Settings(tts_max_streams=1)) as (first, second, gate):
            server = first.server
            second.send(delta("Hello you."), DONE)
            wait_until(lambda: server.runtime.admission.num_waiting == 1)
            assert len(server.engine.requests) == 1
            first.open_gate(gate)
            for session in (first, second):
                (*_, done) = session.until("audio.done")
                assert not isinstance(done, bytes)
                assert done["num_samples"] == 9 * 2048
            wait_until(lambda: server.runtime.admission.num_running == 0)
        assert server.engine.max_active == 1

    def test_a_rejected_utterance_does_not_end_the_session(self) -> None:
        settings = Settings(tts_max_streams=1, tts_queue_wait_sec=0.0)
        with self.two(settings) as (first, second, gate):
            second.send(delta("Hello you."), DONE)
            (*_, rejected) = second.until("error")
            assert not isinstance(rejected, bytes)
            assert rejected["error"]["code"] == "server_is_overloaded"
            assert rejected["utterance"] == 0
            first.open_gate(gate)
            first.until("audio.done")
            second.send(delta("Hello you."), DONE)
            (*_, done) = second.until("audio.done")
            assert not isinstance(done, bytes)
            assert done["utterance"] == 1


class TestSlots:
    """A slot is held only while speech is generated."""

    def test_a_pause_in_the_text_holds_no_slot(self) -> None:
        """Regression: idle sessions took up the capacity and kept out all requests for an hour."""
        server = FakeServer(settings=Settings(tts_max_streams=1, tts_queue_wait_sec=0.0))
        with server.client() as client, client.websocket_connect(PATH) as socket:
            session = Session(server, client, socket)
            session.start()
            session.send(delta("Hello "))
            wait_until(lambda: any(server.runtime.admission._slots.values()))
            body = {"input": "Hello you.", "response_format": "pcm"}
            assert client.post("/v1/audio/speech", json=body).status_code == 200
            session.send(delta("you. "), FLUSH)
            session.until("chunk.start")
            wait_until(lambda: server.runtime.admission.num_running == 0)
            assert client.post("/v1/audio/speech", json=body).status_code == 200
            session.send(delta("And more."), DONE)
            (*_, done) = session.until("audio.done")
            assert not isinstance(done, bytes)
            assert done["num_samples"] > 0

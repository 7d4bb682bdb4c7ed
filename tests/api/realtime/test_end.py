"""The end of a session that has expired or whose server is stopping."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from orpheus_server.api.realtime.session import RealtimeSession
from orpheus_server.settings import Settings
from tests.support.app import WAIT_LIMIT_SEC, FakeServer, held_script, short_script
from tests.support.realtime import (
    CANCEL,
    DONE,
    FLUSH,
    SENTENCE,
    START,
    Received,
    Session,
    delta,
    done_event,
    error_event,
    listen,
)
from tests.support.served import ServedFakes, wait_until


def expired_event(limit_sec: str) -> Received:
    message = f"A session ends after {limit_sec} seconds; open a new one."
    return error_event(message, None, "session_expired")


class Clock:
    """Makes a session expire, or the server stop, when a test calls `run_out`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_stopping: bool) -> None:
        self._is_stopping = is_stopping
        self._is_over = asyncio.Event()
        self._has_begun = threading.Event()
        wait_for_end, begin_end = RealtimeSession._wait_for_end, RealtimeSession._begin_end

        async def wait(session: RealtimeSession) -> Any:
            if not is_stopping:
                await self._is_over.wait()
                services = session._services
                settings = services.settings.model_copy(update={"tts_max_session_sec": 0.0})
                session._services = replace(services, settings=settings)
            return await wait_for_end(session)

        async def begin_and_signal(session: RealtimeSession, end: Any) -> None:
            await begin_end(session, end)
            self._has_begun.set()

        monkeypatch.setattr(RealtimeSession, "_wait_for_end", wait)
        monkeypatch.setattr(RealtimeSession, "_begin_end", begin_and_signal)

    def run_out(self, session: Session) -> None:
        """Returns once the end has begun and the current utterance accepts no more text."""
        if self._is_stopping:
            session.call(session.server.runtime.begin_drain)
        else:
            session.open_gate(self._is_over)
        assert self._has_begun.wait(WAIT_LIMIT_SEC)

    def check_end(self, session: Session) -> None:
        """Checks the error that the client receives, and the close code."""
        if self._is_stopping:
            message = "The server is shutting down; open a new session."
            event = error_event(message, None, "shutting_down")
            assert isinstance(event, dict)
            event["error"]["type"] = "service_unavailable_error"
        else:
            event = expired_event("0")
        assert session.receive() == event
        with pytest.raises(WebSocketDisconnect) as closed:
            session.receive()
        assert closed.value.code == (1001 if self._is_stopping else 1000)


class TestEnd:
    @pytest.fixture(params=[False, True], ids=["expired", "stopping"])
    def clock(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
        return Clock(monkeypatch, is_stopping=request.param)

    def hold(self, session: Session, *events: dict[str, Any]) -> asyncio.Event:
        """Sends the events of an utterance that is spoken until the gate opens."""
        gate = asyncio.Event()
        session.server.engine.enqueue(held_script(short_script(30), gate))
        session.start()
        session.send(*events)
        wait_until(lambda: session.server.engine.num_active == 1)
        return gate

    @pytest.mark.parametrize("is_started", [False, True])
    def test_while_no_utterance_is_pending(
        self, clock: Clock, session: Session, is_started: bool
    ) -> None:
        if is_started:
            session.start()
            session.check_alive()
        clock.run_out(session)
        clock.check_end(session)

    def test_the_current_utterance_is_spoken_to_its_end(
        self, clock: Clock, session: Session
    ) -> None:
        gate = self.hold(session, delta(SENTENCE), DONE, delta("Not this one."), DONE)
        clock.run_out(session)
        session.send(delta("Nor this."), DONE, START)
        session.open_gate(gate)
        assert session.until("audio.done", "error")[-1] == done_event(0, 32, 211, 30 * 2048)
        clock.check_end(session)

    def test_the_current_text_is_ended(self, clock: Clock, session: Session) -> None:
        """Otherwise a client could keep a session open by never ending its text."""
        gate = self.hold(session, delta(f"{SENTENCE} "), FLUSH)
        clock.run_out(session)
        session.open_gate(gate)
        assert session.until("audio.done", "error")[-1] == done_event(0, 32, 211, 30 * 2048)
        clock.check_end(session)

    def test_the_current_utterance_can_be_cancelled(self, clock: Clock, session: Session) -> None:
        self.hold(session, delta(SENTENCE), DONE)
        clock.run_out(session)
        session.send(CANCEL)
        (done,) = session.until("audio.done")
        assert not isinstance(done, bytes)
        assert done["is_cancelled"]
        clock.check_end(session)

    def test_over_a_real_connection(self) -> None:
        server = FakeServer(settings=Settings(tts_max_session_sec=0.05))
        with ServedFakes(server) as served, connect(served.socket_url) as connection:
            assert listen(connection, "error") == [expired_event("0.05")]
            with pytest.raises(ConnectionClosedOK) as closed:
                connection.recv(WAIT_LIMIT_SEC)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000

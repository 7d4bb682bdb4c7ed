"""Clients of other protocols are disconnected; mistakes of this one's clients are only answered."""

import asyncio
import json
import logging
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from orpheus_server.api.realtime.foreign_messages import ForeignMessages
from tests.support.app import WAIT_LIMIT_SEC, held_script, short_script
from tests.support.realtime import CANCEL, DONE, FLUSH, SENTENCE, START, Session, delta
from tests.support.served import ServedFakes, wait_until

FIRST = "The first message is not an event of this protocol."
IN_A_ROW = "3 messages in a row are not of this protocol."

FOREIGN: list[str | bytes] = [
    "",
    "Hello.",
    "[" * 100_000,
    "[]",
    "null",
    "{}",
    '{"text": " "}',
    '{"type": 5}',
    '{"type": ["cancel"]}',
    '{"type": "Cancel"}',
    '{"type": "cancel"',
    '{"type": "response.create"}',
    b"",
    b'{"type": "cancel"}',
]
MISTAKES = [
    {"type": "text.delta"},
    {"type": "text.delta", "text": 5},
    delta("\ud83d"),
    {**START, "speed": 9},
    {**START, "voice": "nobody"},
    {**START, "x": {"y": [[]]}, "seed": "1"},
    {"type": "cancel", "played_ms": -1},
    {"type": "chat.message", "text": "Hi."},
    {"type": "session.start", "history": 5},
]


def send(session: Session, message: str | bytes) -> None:
    if isinstance(message, bytes):
        session.socket.send_bytes(message)
    else:
        session.socket.send_text(message)


def next_code(session: Session) -> str:
    event = session.receive()
    assert isinstance(event, dict)
    assert (event["type"], event["utterance"]) == ("error", None)
    code: str = event["error"]["code"]
    return code


def check_closed(session: Session, reason: str) -> None:
    with pytest.raises(WebSocketDisconnect) as closed:
        session.receive()
    assert (closed.value.code, closed.value.reason) == (1008, reason)


class TestCount:
    def test_the_first_message(self) -> None:
        messages = ForeignMessages()
        messages.add()
        assert messages.reason_to_close == FIRST

    def test_three_in_a_row(self) -> None:
        messages = ForeignMessages()
        messages.reset()
        reasons = []
        for _ in range(3):
            messages.add()
            reasons.append(messages.reason_to_close)
        assert reasons == [None, None, IN_A_ROW]

    def test_a_message_of_the_protocol_starts_the_count_anew(self) -> None:
        messages = ForeignMessages()
        for _ in range(3):
            messages.reset()
            messages.add()
            messages.add()
        assert messages.reason_to_close is None

    def test_a_close_frame_has_room_for_the_reasons(self) -> None:
        assert max(len(FIRST.encode()), len(IN_A_ROW.encode())) <= 123


class TestForeignClients:
    """Regression: they were answered with one error per message for as long as they sent any."""

    @pytest.mark.parametrize("message", FOREIGN, ids=[str(each)[:30] for each in FOREIGN])
    def test_the_first_message(
        self, session: Session, message: str | bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        send(session, message)
        assert next_code(session) == "invalid_event"
        check_closed(session, FIRST)
        assert f"disconnected: {FIRST}" in caplog.text

    @pytest.mark.parametrize("message", FOREIGN, ids=[str(each)[:30] for each in FOREIGN])
    def test_three_in_a_row(self, session: Session, message: str | bytes) -> None:
        session.start()
        for _ in range(3):
            send(session, message)
            assert next_code(session) == "invalid_event"
        check_closed(session, IN_A_ROW)

    def test_of_different_kinds(self, session: Session) -> None:
        session.start()
        for message in ("Hello.", b"\0\1", '{"type": "x"}'):
            send(session, message)
            assert next_code(session) == "invalid_event"
        check_closed(session, IN_A_ROW)

    def test_during_an_utterance(self, session: Session) -> None:
        """Its audio ends, and the engine is free."""
        gate = asyncio.Event()
        session.server.engine.enqueue(held_script(short_script(30), gate))
        session.start()
        session.send(delta(SENTENCE), DONE)
        wait_until(lambda: session.server.engine.num_active == 1)
        for _ in range(3):
            send(session, b"\0\1")
            assert next_code(session) == "invalid_event"
        check_closed(session, IN_A_ROW)
        wait_until(lambda: session.server.engine.num_active == 0)

    def test_over_a_real_socket(self, served: ServedFakes) -> None:
        with connect(served.socket_url) as connection:
            connection.send(json.dumps(START))
            connection.recv(WAIT_LIMIT_SEC)
            for _ in range(3):
                connection.send(b"\0\1")
                event = json.loads(connection.recv(WAIT_LIMIT_SEC))
                assert event["error"]["code"] == "invalid_event"
            with pytest.raises(ConnectionClosedError) as closed:
                connection.recv(WAIT_LIMIT_SEC)
        frame = closed.value.rcvd
        assert frame is not None
        assert (frame.code, frame.reason) == (1008, IN_A_ROW)


class TestClientsOfTheProtocol:
    @pytest.mark.parametrize("event", MISTAKES, ids=lambda event: json.dumps(event)[:40])
    def test_errors_of_value_never_count(self, session: Session, event: dict[str, Any]) -> None:
        """Half of a surrogate pair too, which a browser sends if it splits text in an emoji."""
        for _ in range(5):
            session.send(event)
            next_code(session)
        session.start()
        session.check_alive()

    @pytest.mark.parametrize(
        "event", [FLUSH, DONE, delta("Hello.")], ids=lambda event: event["type"]
    )
    def test_errors_of_order_never_count(self, session: Session, event: dict[str, Any]) -> None:
        for _ in range(5):
            session.send(event)
            assert next_code(session) == "event_out_of_order"
        session.start()
        session.check_alive()

    @pytest.mark.parametrize("event", [CANCEL, delta("a")], ids=lambda event: event["type"])
    def test_a_valid_event_starts_the_count_anew(
        self, session: Session, event: dict[str, Any]
    ) -> None:
        session.start()
        for _ in range(3):
            for _ in range(2):
                send(session, "Hello.")
                assert next_code(session) == "invalid_event"
            session.send(event)
        session.send(CANCEL, START)
        session.until("session.started")
        session.check_alive()

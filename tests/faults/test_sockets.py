"""WebSocket sessions that violate the protocol, next to one that follows it."""

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from tests.faults.callers import connect, head, is_speech, pcm, reset
from tests.faults.conftest import Record
from tests.faults.fault_server import ANNA, PAGE, SENTENCE, FaultServer
from tests.faults.test_leaving import ABORT_LIMIT_SEC, seconds_until_free
from tests.support.served import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TEXT, BINARY, CLOSE, PONG = 1, 2, 8, 10
START = {"type": "session.start", "voice": "leo"}
NUM_MESSAGES = 10_000


def delta(text: str) -> dict[str, Any]:
    return {"type": "text.delta", "text": text}


DONE = {"type": "text.done"}


@contextmanager
def session(server: FaultServer, *, open_sec: float = 10) -> Iterator[ClientConnection]:
    """Opens a session with a client library within `open_sec` and starts it."""
    url = f"ws://127.0.0.1:{server.port}/v1/audio/stream"
    headers = {"Authorization": f"Bearer {ANNA}"}
    with connect_websocket(
        url, additional_headers=headers, proxy=None, open_timeout=open_sec
    ) as connection:
        connection.send(json.dumps(START))
        assert next_event(connection)["type"] == "session.started"
        yield connection


def next_event(connection: ClientConnection) -> dict[str, Any]:
    """Returns the next event; audio before it is discarded."""
    while isinstance(message := connection.recv(timeout=30), bytes):
        pass
    event: dict[str, Any] = json.loads(message)
    return event


def speak(connection: ClientConnection, text: str) -> bytes:
    """Returns the audio of one utterance."""
    for event in (delta(text), DONE):
        connection.send(json.dumps(event))
    sound = b""
    while True:
        message = connection.recv(timeout=60)
        if isinstance(message, bytes):
            sound += message
        elif json.loads(message)["type"] in ("audio.done", "error"):
            assert json.loads(message)["type"] == "audio.done", message
            return sound


class BareSession:
    """A session over a plain socket; a thread reads its frames, for the close code."""

    def __init__(self, server: FaultServer, *, reads: bool = True) -> None:
        self.connection = connect(server.port)
        upgrade = [
            *(("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")),
            ("Sec-WebSocket-Key", base64.b64encode(b"0123456789abcdef").decode()),
            ("Authorization", f"Bearer {ANNA}"),
        ]
        self.connection.sendall(head("GET", "/v1/audio/stream", upgrade))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.connection.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        self.num_events = 0
        self.num_sound_bytes = 0
        self.close_code = 0
        self._reader = threading.Thread(target=self._read)
        if reads:
            self._reader.start()
        self.send(TEXT, json.dumps(START).encode())

    def send(self, kind: int, data: bytes) -> None:
        """Sends one frame; its mask is zero and so changes nothing."""
        length = len(data)
        if length < 126:
            size = bytes([0x80 | length])
        elif length < 65_536:
            size = bytes([0x80 | 126]) + struct.pack("!H", length)
        else:
            size = bytes([0x80 | 127]) + struct.pack("!Q", length)
        self.connection.sendall(bytes([0x80 | kind]) + size + bytes(4) + data)

    def send_event(self, event: dict[str, Any]) -> None:
        """Sends an event as JSON."""
        self.send(TEXT, json.dumps(event).encode())

    def wait_closed(self) -> int:
        """Returns the server's close code, or 0 if it cut the connection."""
        self._reader.join(30)
        assert not self._reader.is_alive()
        self.connection.close()
        return self.close_code

    def _read(self) -> None:
        with suppress(OSError), self.connection.makefile("rb") as file:
            while len(start := file.read(2)) == 2:
                length = start[1]
                if length >= 126:
                    length = int.from_bytes(file.read(2 if length == 126 else 8))
                data = file.read(length)
                kind = start[0] & 15
                self.num_events += kind == TEXT
                self.num_sound_bytes += length if kind == BINARY else 0
                if kind == CLOSE:
                    self.close_code = int.from_bytes(data[:2])
                    return


def test_sessions_that_violate_the_protocol(server: FaultServer, record: Record) -> None:
    with (
        record(server, "15", "a WebSocket is sent everything that it should not be") as case,
        session(server) as good,
        ThreadPoolExecutor(1) as other,
    ):
        beside = other.submit(lambda: [speak(good, f"{SENTENCE} " * 2) for _ in range(4)])
        with session(server) as bad:
            for message in ("nonsense", "[]", b"\0\1", '{"type": "x"}', '{"type": 1}', '"\\ud800"'):
                for sent in (message, '{"type": "text.flush"}'):
                    bad.send(sent)
                    event = next_event(bad)
                    assert event["type"] == "error"
                    case.saw(f"error {event['error']['code']}")
            assert is_speech(pcm(speak(bad, SENTENCE)), 1.5, 6)
            case.saw("speaks after six of them, with others in between")

        large = BareSession(server)
        with suppress(ConnectionError):
            large.send(TEXT, b"a" * 17_000_000)
        case.saw(f"17 MB: closed {large.wait_closed() or 'cut'}")
        assert large.close_code in (1009, 0)

        text = BareSession(server)
        with suppress(ConnectionError):
            text.send(TEXT, b'{"type": "text.delta", "text": "\xff"}')
        case.saw(f"no UTF-8: closed {text.wait_closed()}")
        assert text.close_code == 1007

        many = BareSession(server)
        for _ in range(NUM_MESSAGES):
            many.send_event({"type": "text.flush"})
        wait_until(lambda: many.num_events >= NUM_MESSAGES, limit_sec=60)
        many.send(CLOSE, struct.pack("!H", 1000))
        case.saw(f"{NUM_MESSAGES} messages: {many.num_events - 1} errors, {many.wait_closed()}")

        deaf = BareSession(server, reads=False)
        deaf.connection.settimeout(10)
        started = time.monotonic()
        num_sent = 0
        with suppress(OSError):
            while num_sent < 200_000:
                deaf.send_event({"type": "text.flush"})
                num_sent += 1
        case.note(
            f"{num_sent} messages of one that reads nothing, "
            f"{time.monotonic() - started:.1f} s, memory {case.grown_mb:+.1f} MB at most"
        )
        deaf.connection.close()
        assert case.grown_mb < 30

        after = BareSession(server)
        after.send(CLOSE, struct.pack("!H", 1000))
        with suppress(ConnectionError):
            after.send_event(delta(SENTENCE))
        case.saw(f"text after its end: closed {after.wait_closed()}")

        assert all(is_speech(pcm(sound), 3, 12) for sound in beside.result())
        case.note("4 utterances beside it whole")

        left = BareSession(server)
        left.send_event(delta(PAGE))
        wait_until(lambda: left.num_sound_bytes > 20_000, limit_sec=20)
        left.connection.shutdown(socket.SHUT_RD)
        reset(left.connection)
        free_sec = seconds_until_free(server)
        case.note(f"engine free {free_sec:.3f} s after a reset")
        assert free_sec <= ABORT_LIMIT_SEC

        check_cancel(good)
        case.saw("cancelled, then spoken")


def check_cancel(connection: ClientConnection) -> None:
    connection.send(json.dumps(delta(PAGE)))
    while not isinstance(connection.recv(timeout=20), bytes):
        pass
    connection.send(json.dumps({"type": "cancel"}))
    event = next_event(connection)
    while event["type"] != "audio.done":
        event = next_event(connection)
    assert event["is_cancelled"]
    for message in (delta(SENTENCE), DONE):
        connection.send(json.dumps(message))
    # No more audio of the old utterance: the first message is the start of the new one.
    first = connection.recv(timeout=20)
    assert isinstance(first, str)
    begun = json.loads(first)
    assert (begun["type"], begun["utterance"]) == ("audio.start", event["utterance"] + 1)
    while next_event(connection)["type"] != "audio.done":
        pass

"""Connections that are cut at any byte sent or received: nothing is left of them."""

import base64
import json
import socket
import struct
from collections.abc import Iterator
from random import Random

import pytest

from orpheus_server.audio.encoders import FORMATS
from tests.fuzz.examples import Effort, efforts, errors_in, leaves_nothing
from tests.support.app import FakeServer
from tests.support.served import ServedFakes

Call = tuple[bytes, bytes]
"""Bytes before and after the response starts: frames must wait for the handshake."""

TEXT = "Abcdefg hijklmno pqrstuv wxyz abcd. " * 6


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with ServedFakes(FakeServer()) as served:
        yield served


def speech_request(random: Random) -> Call:
    """Returns a request for any format, as a file, streamed or as events."""
    ways: list[dict[str, object]] = [{"stream": True}, {"stream": False}, {"stream_format": "sse"}]
    form = random.choice([*FORMATS])
    content = {"input": TEXT, "response_format": form, **random.choice(ways)}
    body = json.dumps(content).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


def session_request(random: Random) -> Call:
    """Returns a handshake and the events of an utterance with complete or unfinished text."""
    key = base64.b64encode(random.randbytes(16)).decode()
    head = (
        "GET /v1/audio/stream HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    events: list[dict[str, str]] = [
        {"type": "session.start", "response_format": random.choice([*FORMATS])},
        {"type": "text.delta", "text": TEXT},
    ]
    if random.random() < 0.5:
        events.append({"type": "text.done"})
    return head.encode(), b"".join(map(text_frame, events))


def text_frame(event: dict[str, str]) -> bytes:
    """Returns a frame of RFC 6455, section 5.2, masked with zeros."""
    data = json.dumps(event).encode()
    return struct.pack("!BBH4x", 0x81, 0x80 | 126, len(data)) + data


def cut(connection: socket.socket, *, is_reset: bool) -> None:
    """Closes the connection, normally or with a reset, which discards unsent data."""
    if is_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send(connection: socket.socket, call: Call, *, num_bytes: int) -> None:
    """Sends the first bytes of the call."""
    head, rest = call
    connection.sendall(head[:num_bytes])
    if num_bytes > len(head):
        if head.startswith(b"GET"):
            connection.recv(1)
        connection.sendall(rest[: num_bytes - len(head)])


def call_and_disconnect(served: ServedFakes, random: Random) -> None:
    is_session = random.random() < 0.3
    call = (session_request if is_session else speech_request)(random)
    num_bytes = sum(map(len, call))
    is_whole = random.random() < 0.7
    # Log-uniform. A session sends at least 2^11 bytes in every format before it waits for text.
    num_bytes_to_read = int(2 ** random.uniform(0, 11 if is_session else 17)) - 1
    num_sent = num_bytes if is_whole else random.randrange(num_bytes)
    is_reset = random.random() < 0.5
    connection = served.connect()
    send(connection, call, num_bytes=num_sent)
    while is_whole and num_bytes_to_read > 0 and (data := connection.recv(num_bytes_to_read)):
        num_bytes_to_read -= len(data)
    cut(connection, is_reset=is_reset)


@efforts(quick=20, slow=200)
def test_cut_connections_leak_nothing(
    served: ServedFakes, effort: Effort, caplog: pytest.LogCaptureFixture
) -> None:
    random, engine = effort.random, served.fakes.engine
    engine.requests.clear()
    with leaves_nothing(served):
        for _ in range(effort.num_examples):
            call_and_disconnect(served, random)
    # Most of them reached the engine.
    assert len(engine.requests) > effort.num_examples / 2
    assert errors_in(caplog) == []


@efforts(quick=5, slow=40)
def test_many_connections_cut_together(
    served: ServedFakes, effort: Effort, caplog: pytest.LogCaptureFixture
) -> None:
    """More than run in parallel, so that some are cut while they wait."""
    random = effort.random
    for _ in range(effort.num_examples):
        with leaves_nothing(served):
            connections = [served.connect() for _ in range(40)]
            for connection in connections:
                call = random.choice([speech_request, session_request])(random)
                send(connection, call, num_bytes=10_000)
            random.shuffle(connections)
            for connection in connections:
                cut(connection, is_reset=random.random() < 0.5)
    assert errors_in(caplog) == []

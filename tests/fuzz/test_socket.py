"""Bytes that are almost HTTP: no internal errors and no leaks."""

import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest

from tests.fuzz.examples import Effort, efforts, errors_in, leaves_nothing
from tests.support.app import WAIT_LIMIT_SEC, FakeServer
from tests.support.served import ServedFakes

SPEECH = json.dumps({"input": "Yes.", "response_format": "pcm"}).encode()
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
# Statuses for methods, encodings and versions that the server does not implement.
ALLOWED = {b"501", b"505"}
_PATIENCE_SEC = 0.02


def post(body: bytes, *lines: bytes) -> bytes:
    head = [
        b"POST /v1/audio/speech HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
    ]
    return b"\r\n".join([*head, *lines, b"", body])


def get(path: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", *lines, b"", b""])


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


UPGRADE = get(
    b"/v1/audio/stream",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
# Masked with zeros: a text frame with an event, a ping, a close.
EVENT = b'{"type": "session.start"}'
FRAMES = b"\x81" + bytes([0x80 | len(EVENT)]) + bytes(4) + EVENT + b"\x89\x80" + bytes(4)

REQUESTS = [
    get(b"/health"),
    get(b"/v1/models/orpheus"),
    get(b"/v1/audio/voices?format=names", b"Connection: close"),
    get(b"http://a/v1/models"),
    get(b"/metrics", b"Accept-Encoding: gzip"),
    get(b"/%00%ff/..%2f..%2fetc/passwd"),
    b"HEAD /ready HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    post(SPEECH, b"Content-Length: %d" % len(SPEECH)),
    post(SPEECH, b"Content-Length: %d" % len(SPEECH), b"Expect: 100-continue"),
    post(chunked(SPEECH, 7), b"Transfer-Encoding: chunked"),
    UPGRADE + FRAMES,
    UPGRADE + FRAMES + b"\x88\x80" + bytes(4),
]
LINES = [
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Host: b",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: h2c",
    b"Content-Encoding: gzip",
    b"X: " + b"y" * 40_000,
    b"X : y",
    b": y",
    b" folded",
    b"X: \x00",
    b"X: \xff\xfe",
    b"Sec-WebSocket-Version: 99",
    b"Expect: 200-maybe",
]


def mutate(stream: bytes, random: Random) -> bytes:
    """Returns the stream with one mutation."""
    start = random.randrange(len(stream) + 1)
    end = min(len(stream), start + random.randrange(1, 30))
    match random.randrange(8):
        case 0:
            return stream[:start]
        case 1:
            flipped = bytes(byte ^ 1 << random.randrange(8) for byte in stream[start:end])
            return stream[:start] + flipped + stream[end:]
        case 2:
            return stream[:start] + stream[end:]
        case 3:
            return stream[:start] + stream[start:end] * random.randrange(2, 5) + stream[end:]
        case 4:
            return stream[:start] + random.randbytes(random.randrange(1, 20)) + stream[start:]
        case 5:
            return stream.replace(b"\r\n", random.choice([b"\n", b"\r", b"\r\n\r\n", b"\x00"]), 1)
        case _:
            first, found, rest = stream.partition(b"\r\n")
            return first + found + random.choice(LINES) + found + rest


def draw_stream(random: Random) -> bytes:
    """Returns one to three requests in a row, most of them mutated."""
    stream = b"".join(random.choices(REQUESTS, k=random.randrange(1, 4)))
    for _ in range(random.randrange(4)):
        stream = mutate(stream, random)
    return stream


def send(served: ServedFakes, stream: bytes, *, num_pieces: int) -> bytes:
    """Sends the stream and returns everything received until the server closes the connection."""
    received = bytearray()
    size = -(-len(stream) // num_pieces) or 1
    with served.connect() as connection:
        # The server may close the connection before it has read everything.
        with suppress(ConnectionError, OSError):
            for start in range(0, len(stream), size):
                connection.sendall(stream[start : start + size])
        with suppress(ConnectionError):
            connection.settimeout(_PATIENCE_SEC)
            with suppress(TimeoutError):
                while data := connection.recv(65_536):
                    received += data
                return bytes(received)
            # The server waits for more. An earlier shutdown would look like a disconnect.
            connection.settimeout(WAIT_LIMIT_SEC)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                received += data
    return bytes(received)


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with ServedFakes(FakeServer()) as served:
        yield served


@efforts(quick=150, slow=2000)
def test_almost_http(served: ServedFakes, effort: Effort, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    random, engine = effort.random, served.fakes.engine
    engine.requests.clear()
    num_answers = 0
    with leaves_nothing(served):
        for _ in range(effort.num_examples):
            stream = draw_stream(random)
            answer = send(served, stream, num_pieces=random.randrange(1, 4))
            statuses = STATUS.findall(answer)
            num_answers += len(statuses)
            assert not {each for each in statuses if each >= b"500"} - ALLOWED, (stream, answer)
            assert errors_in(caplog) == [], stream
        health = send(served, get(b"/health", b"Connection: close"), num_pieces=1)
        assert health.startswith(b"HTTP/1.1 200 ")
    # Many streams were parsed as requests.
    assert num_answers > effort.num_examples / 2
    assert len(engine.requests) > effort.num_examples / 20

"""Connections that hang or are not HTTP, on a real uvicorn and bare sockets."""

import json
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from websockets.sync.client import connect

from orpheus_server.server.protocols.http import HttpProtocol
from orpheus_server.server.protocols.websocket import WebSocketProtocol
from orpheus_server.server.uvicorn_config import MAX_HEADER_BYTES
from orpheus_server.settings import Settings
from tests.server.protocols.test_transport import require_data
from tests.support.app import REQUEST_ID, FakeServer
from tests.support.served import ServedFakes

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PIECE = b"a" * (1 << 20)


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One response, and the data received after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def parse(data: bytes) -> RawResponse:
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name.lower() not in headers
        headers[name.lower()] = value
    length = int(headers["content-length"])
    return RawResponse(int(first.split()[1]), headers, rest[:length], rest[length:])


def read_all(connection: socket.socket) -> bytes:
    """Reads to the end of the connection; raises if it is reset."""
    data = b""
    while part := connection.recv(65_536):
        data += part
    return data


def read_one(connection: socket.socket) -> RawResponse:
    """Reads one response from a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data or len(parse(data).body) < int(
        parse(data).headers["content-length"]
    ):
        data += require_data(connection.recv(65_536))
    return parse(data)


def check_rejection(data: bytes, status: int, code: str) -> str:
    """Checks that `data` is one error in the envelope and nothing else; returns its message."""
    response = parse(data)
    assert (response.status, response.error["code"], response.rest) == (status, code, b"")
    assert response.error["type"] == "invalid_request_error"
    assert response.headers["connection"] == "close"
    assert response.headers["content-type"] == "application/json"
    assert REQUEST_ID.fullmatch(response.headers["x-request-id"])
    message: str = response.error["message"]
    return message


def trickle(connection: socket.socket, data: bytes, *, step_sec: float = 0.02) -> bytes:
    """Sends `data` byte by byte, over and over, and returns the server's response."""
    while True:
        for index in range(len(data)):
            if select.select([connection], [], [], step_sec)[0]:
                return read_all(connection)
            connection.sendall(data[index : index + 1])


def outlast_timeout(served: ServedFakes) -> None:
    """Waits until the receive timeout of a connection that is opened now has passed."""
    with served.connect() as silent:
        assert read_all(silent) == b""


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    settings = Settings(tts_receive_timeout_sec=0.4)
    with ServedFakes(FakeServer(settings=settings)) as served:
        yield served


@pytest.fixture(scope="module")
def patient() -> Iterator[ServedFakes]:
    """A server with a timeout long enough to send 50 MB, even on a slow machine."""
    with ServedFakes(FakeServer()) as served:
        yield served


@pytest.fixture
def connection(served: ServedFakes) -> Iterator[socket.socket]:
    with served.connect() as connection:
        yield connection


class TestHead:
    def test_nothing_is_sent(self, connection: socket.socket) -> None:
        """uvicorn itself keeps a silent connection forever."""
        assert read_all(connection) == b""

    @pytest.mark.parametrize(
        "part", [b"G", b"GET /hea", GET[:-2], GET[:-1], POST], ids=lambda part: ascii(part[-8:])
    )
    def test_a_part_of_it(self, connection: socket.socket, part: bytes) -> None:
        connection.sendall(part)
        message = check_rejection(read_all(connection), 408, "request_timeout")
        assert message == "The head of the request did not arrive within 0.4 seconds."

    def test_a_head_that_arrives_byte_by_byte(self, connection: socket.socket) -> None:
        """Each byte would restart a timeout that measures silence only."""
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        check_rejection(trickle(connection, b"a"), 408, "request_timeout")

    def test_an_idle_connection_is_kept(
        self, served: ServedFakes, connection: socket.socket
    ) -> None:
        for _ in range(2):
            connection.sendall(GET)
            assert read_one(connection).status == 200
            outlast_timeout(served)

    def test_a_part_of_a_later_head(self, served: ServedFakes, connection: socket.socket) -> None:
        connection.sendall(GET)
        assert read_one(connection).status == 200
        outlast_timeout(served)
        connection.sendall(GET[:10])
        check_rejection(read_all(connection), 408, "request_timeout")

    def test_pipelined(self, connection: socket.socket) -> None:
        connection.sendall(GET + GET + GET[:20])
        first = parse(read_all(connection))
        second = parse(first.rest)
        assert (first.status, second.status) == (200, 200)
        check_rejection(second.rest, 408, "request_timeout")

    def test_many_half_open_connections_do_not_delay_others(self, served: ServedFakes) -> None:
        half_open = []
        try:
            for index in range(200):
                half_open.append(served.connect())
                if index % 2 == 0:
                    half_open[-1].sendall(GET[:-2])
            with served.connect() as good:
                good.sendall(GET)
                assert read_one(good).status == 200
            for index, each in enumerate(half_open):
                assert bool(read_all(each)) is (index % 2 == 0)
        finally:
            for each in half_open:
                each.close()


class TestBody:
    def test_a_part_of_it(self, connection: socket.socket) -> None:
        connection.sendall(POST + b'Content-Length: 30\r\n\r\n{"input": ')
        message = check_rejection(read_all(connection), 408, "request_timeout")
        assert message == "The body did not arrive within 0.4 seconds."

    def test_none_of_it(self, connection: socket.socket) -> None:
        connection.sendall(POST + b"Content-Length: 30\r\nExpect: 100-continue\r\n\r\n")
        interim, _, response = read_all(connection).partition(b"\r\n\r\n")
        assert interim.startswith(b"HTTP/1.1 100 ")
        check_rejection(response, 408, "request_timeout")

    def test_a_body_in_endless_chunks(self, connection: socket.socket) -> None:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        check_rejection(trickle(connection, b"1\r\n \r\n"), 408, "request_timeout")

    def test_a_body_that_the_app_does_not_read(self, connection: socket.socket) -> None:
        """Each byte of it kept the connection open for another five seconds after the response."""
        connection.sendall(GET[:-2] + b"Content-Length: 1000000\r\n\r\n")
        response = read_one(connection)
        assert (response.status, response.rest) == (200, b"")
        # The last byte may arrive too late for a clean close.
        with suppress(ConnectionError):
            assert trickle(connection, b"a") == b""

    def test_the_response_to_a_too_large_body_arrives(self, patient: ServedFakes) -> None:
        """Closing a socket with unread input resets it, and the response is lost."""
        with socket.create_connection(patient.address) as connection:
            connection.sendall(POST + b"Content-Length: 52428800\r\n\r\n")
            for _ in range(50):
                connection.sendall(PIECE)
            connection.shutdown(socket.SHUT_WR)
            check_app_rejection(read_all(connection), 413, "request_too_large")

    def test_chunks_that_are_too_large_together(self, patient: ServedFakes) -> None:
        with socket.create_connection(patient.address) as connection:
            connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(50):
                connection.sendall(b"100000\r\n" + PIECE + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            check_app_rejection(read_all(connection), 413, "request_too_large")

    def test_broken_chunks(self, served: ServedFakes, connection: socket.socket) -> None:
        """The app must not wait for the rest of the body while the connection lingers."""
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nx")
        connection.sendall(b"yz\r\n")
        check_rejection(read_all(connection), 400, "invalid_request")


def check_app_rejection(data: bytes, status: int, code: str) -> None:
    check_rejection(data, status, code)
    assert parse(data).headers["x-should-retry"] == "false"


class TestNotHttp:
    @pytest.mark.parametrize(
        "data",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
        ],
        ids=lambda data: ascii(data[-16:]),
    )
    def test_is_rejected_in_the_envelope(self, connection: socket.socket, data: bytes) -> None:
        """uvicorn answers in plain text."""
        connection.sendall(data)
        message = check_rejection(read_all(connection), 400, "invalid_request")
        assert message == "The request is not valid HTTP."

    def test_after_a_valid_request(self, connection: socket.socket) -> None:
        connection.sendall(GET + b"?\r\n\r\n")
        first = parse(read_all(connection))
        assert first.status == 200
        check_rejection(first.rest, 400, "invalid_request")

    def test_an_invalid_head_request(self, connection: socket.socket) -> None:
        """A response to HEAD never has a body."""
        head = POST.replace(b"POST", b"HEAD")
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\nx\r\n")
        assert read_all(connection).endswith(b"\r\n\r\n")

    def test_invalid_chunks_after_the_response(self, connection: socket.socket) -> None:
        """The client would take a second response for that of its next request."""
        connection.sendall(GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n")
        assert read_one(connection).status == 200
        connection.sendall(b"x\r\n")
        assert read_all(connection) == b""


class TestSize:
    def check(self, data: bytes) -> None:
        message = check_rejection(data, 431, "request_header_fields_too_large")
        assert message == "The head of the request is too large."

    def test_ten_thousand_headers(self, patient: ServedFakes) -> None:
        lines = [b"X-%d: a\r\n" % index for index in range(10_000)]
        with socket.create_connection(patient.address) as connection:
            connection.sendall(GET[:-2] + b"".join(lines) + b"\r\n")
            self.check(read_all(connection))

    def test_in_one_piece(self, connection: socket.socket) -> None:
        """h11 limits only data that it cannot parse yet."""
        good = b"X: " + b"a" * (MAX_HEADER_BYTES - 200) + b"\r\n\r\n"
        connection.sendall(GET[:-2] + good)
        assert read_one(connection).status == 200
        connection.sendall(GET[:-2] + b"X: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n")
        self.check(read_all(connection))

    def test_a_long_address(self, patient: ServedFakes) -> None:
        with socket.create_connection(patient.address) as connection:
            connection.sendall(b"GET /" + PIECE + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.check(read_all(connection))

    def test_a_header_of_50_mb(self, patient: ServedFakes) -> None:
        with socket.create_connection(patient.address) as connection:
            connection.sendall(GET[:-2] + b"X: ")
            for _ in range(50):
                connection.sendall(PIECE)
            connection.shutdown(socket.SHUT_WR)
            self.check(read_all(connection))


class TestUpgrade:
    def test_a_websocket_outlasts_the_timeout_for_heads(self, served: ServedFakes) -> None:
        with connect(served.socket_url) as socket:
            outlast_timeout(served)
            socket.send('{"type": "session.start"}')
            assert json.loads(socket.recv())["type"] == "session.started"

    def test_on_a_connection_that_was_used(
        self, served: ServedFakes, connection: socket.socket
    ) -> None:
        connection.sendall(GET)
        assert read_one(connection).status == 200
        connection.sendall(upgrade())
        assert connection.recv(12) == b"HTTP/1.1 101"
        outlast_timeout(served)
        # An empty ping, masked.
        connection.sendall(b"\x89\x80\0\0\0\0")
        data = b""
        while not data.endswith(b"\x8a\x00"):
            data += require_data(connection.recv(4096))

    def test_half_a_handshake(self, connection: socket.socket) -> None:
        connection.sendall(upgrade()[:-2])
        check_rejection(read_all(connection), 408, "request_timeout")


def upgrade(method: str = "GET", *more: str) -> bytes:
    """Returns the head of a handshake."""
    lines = [
        f"{method} /v1/audio/stream HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_shutdown_does_not_wait_for_half_requests() -> None:
    with ServedFakes(FakeServer()) as served:
        half_open, rejected = served.connect(), served.connect()
        half_open.sendall(GET[:10])
        rejected.sendall(b"?\r\n\r\n" + PIECE[:1000])
        assert rejected.recv(12) == b"HTTP/1.1 400"
    for connection in (half_open, rejected):
        connection.close()


def test_bare_uvicorn_can_load_the_protocols_by_name() -> None:
    config = uvicorn.Config(
        FakeServer().build_app(),
        http="orpheus_server.server.protocols.http:HttpProtocol",
        ws="orpheus_server.server.protocols.websocket:WebSocketProtocol",
        log_config=None,
    )
    config.load()
    assert config.http_protocol_class is HttpProtocol
    assert config.ws_protocol_class is WebSocketProtocol

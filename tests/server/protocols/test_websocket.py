"""WebSockets that break the protocol, on a real uvicorn and bare sockets."""

import socket
import struct
from collections.abc import Iterator

import pytest

from tests.server.protocols.test_http import check_rejection, read_all, upgrade
from tests.server.protocols.test_transport import require_data
from tests.support.app import FakeServer
from tests.support.served import ServedFakes, wait_until

PIECE = bytes(1 << 20)
MASK = bytes(4)


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with ServedFakes(FakeServer()) as served:
        yield served


@pytest.fixture
def connection(served: ServedFakes) -> Iterator[socket.socket]:
    """A connection whose handshake is complete."""
    with socket.create_connection(served.address) as connection:
        connection.sendall(upgrade())
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += require_data(connection.recv(1))
        assert data.startswith(b"HTTP/1.1 101")
        yield connection
    wait_until(lambda: served.num_connections == 0)


def close_code(connection: socket.socket) -> int:
    """Returns the code of the close frame, which must be the only remaining data."""
    data = read_all(connection)
    assert (data[0], data[1]) == (0x88, len(data) - 2)
    code: int = struct.unpack("!H", data[2:4])[0]
    return code


class TestMessages:
    def test_a_message_of_17_mb(self, connection: socket.socket) -> None:
        """The connection was closed with most of it unread, and a reset lost the code."""
        connection.sendall(struct.pack("!BBQ4s", 0x81, 0xFF, 17 << 20, MASK))
        for _ in range(17):
            connection.sendall(PIECE)
        connection.shutdown(socket.SHUT_WR)
        assert close_code(connection) == 1009

    def test_a_large_message_in_fragments(self, connection: socket.socket) -> None:
        """Each fragment is within the limit."""
        for index in range(20):
            head = struct.pack("!BBQ4s", 0x00 if index else 0x01, 0xFF, 200_000, MASK)
            connection.sendall(head + PIECE[:200_000])
        connection.shutdown(socket.SHUT_WR)
        assert close_code(connection) == 1009

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            (b"\x83\x80" + MASK, 1002),
            (b"\xf1\x80" + MASK, 1002),
            (b"\x81\x00", 1002),
            (b"\x80\x80" + MASK, 1002),
            (b"\x09\x80" + MASK, 1002),
            (b"\x89\xfe\x00\x7e" + MASK + bytes(126), 1002),
            (b"\x81\x81" + MASK + b"\xff", 1007),
        ],
        ids=["opcode", "reserved", "unmasked", "no start", "ping in fragments", "ping", "text"],
    )
    def test_an_invalid_frame(self, connection: socket.socket, frame: bytes, code: int) -> None:
        connection.sendall(frame)
        connection.shutdown(socket.SHUT_WR)
        assert close_code(connection) == code

    @pytest.mark.parametrize("parts", [(b"\xff\xfe",), (b"ab\xc3", b"cd")])
    def test_text_that_is_not_utf8(
        self,
        connection: socket.socket,
        parts: tuple[bytes, ...],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Each one logged an error with a traceback, so a client could fill the disk."""
        for index, part in enumerate(parts):
            first = (0x00 if index else 0x01) | (0x80 if index == len(parts) - 1 else 0x00)
            connection.sendall(struct.pack("!BB4s", first, 0x80 | len(part), MASK) + part)
        connection.shutdown(socket.SHUT_WR)
        assert close_code(connection) == 1007
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_closing_does_not_wait_for_the_client(self, connection: socket.socket) -> None:
        """A client that sends an invalid frame may never close."""
        connection.sendall(b"\x83\x80" + MASK)
        assert close_code(connection) == 1002


class TestHandshake:
    @pytest.mark.parametrize(
        ("head", "status", "code"),
        [
            (
                upgrade("GET", *[f"X-{index}: a" for index in range(200)]),
                431,
                "request_header_fields_too_large",
            ),
            (upgrade("GET", "X: " + "a" * 10_000), 431, "request_header_fields_too_large"),
            (upgrade("GET", "Content-Length: 5"), 400, "invalid_request"),
        ],
        ids=["many headers", "a long header", "a body"],
    )
    def test_a_head_that_the_library_rejects(
        self, served: ServedFakes, head: bytes, status: int, code: str
    ) -> None:
        """h11 accepts the head, so uvicorn kept waiting for a handshake that had failed."""
        with socket.create_connection(served.address) as connection:
            connection.sendall(head)
            message = check_rejection(read_all(connection), status, code)
            assert message.startswith("This is not a WebSocket handshake: ")
        wait_until(lambda: served.num_connections == 0)


def test_shutdown_does_not_wait_for_unread_input() -> None:
    with (
        ServedFakes(FakeServer()) as served,
        socket.create_connection(served.address) as connection,
    ):
        connection.sendall(upgrade())
        assert connection.recv(12) == b"HTTP/1.1 101"
        connection.sendall(b"\x83\x80" + MASK)
        while connection.recv(4096):
            pass
        served.stop()
        wait_until(lambda: served.num_connections == 0)

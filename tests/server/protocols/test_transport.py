"""A transport that counts what its peer has received, and closes without losing a response."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from orpheus_server.server.protocols import transport
from orpheus_server.server.protocols.transport import MAX_LEFTOVER_BYTES, LingeringTransport
from tests.support.app import WAIT_LIMIT_SEC, settle, wait_for

pytestmark = pytest.mark.anyio

PIECE = bytes(1 << 20)
NUM_PIECES = 16
"""More than the system's send and receive buffers hold together."""


def require_data(data: bytes) -> bytes:
    """Returns `data`; fails at the end of a connection, where a loop would read nothing forever."""
    assert data
    return data


class Peer(asyncio.Protocol):
    """The server's side of one connection, with the least that a protocol must do."""

    def __init__(self, *, has_input_left: bool, linger_sec: float) -> None:
        self.connected = asyncio.Event()
        self.lost = asyncio.Event()
        self._has_input_left = has_input_left
        self._linger_sec = linger_sec

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = LingeringTransport(
            transport,
            self,
            has_input_left=lambda: self._has_input_left,
            linger_sec=self._linger_sec,
        )
        self.connected.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def open_peer(
    *, has_input_left: bool = False, linger_sec: float = WAIT_LIMIT_SEC
) -> AsyncIterator[tuple[Peer, socket.socket]]:
    """Yields a connected peer and the other end, which has a small receive buffer."""
    peer = Peer(has_input_left=has_input_left, linger_sec=linger_sec)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: peer, "127.0.0.1", 0)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        other.setblocking(False)
        await loop.sock_connect(other, server.sockets[0].getsockname())
        await peer.connected.wait()
        try:
            async with asyncio.timeout(WAIT_LIMIT_SEC):
                yield peer, other
        finally:
            peer.transport.abort()
            await peer.lost.wait()
            server.close()
            await server.wait_closed()


async def test_only_bytes_that_the_peer_has_received_are_counted() -> None:
    """The system buffers megabytes that the peer has not received."""
    async with open_peer() as (peer, other):
        for _ in range(NUM_PIECES):
            peer.transport.write(PIECE)
        await settle()
        num_written = NUM_PIECES * len(PIECE)
        unsent = peer.transport.get_write_buffer_size()
        assert 0 < peer.transport.num_acknowledged_bytes < 100_000 < num_written - unsent

        num_read = 0
        while num_read < num_written:
            num_read += len(
                require_data(await asyncio.get_running_loop().sock_recv(other, 1 << 20))
            )
        await wait_for(lambda: peer.transport.num_acknowledged_bytes == num_written)


async def test_without_the_systems_count_all_sent_bytes_are_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows does not report how much of its buffer the peer has received."""
    monkeypatch.setattr(transport, "HAS_QUEUE_LENGTH", False)
    async with open_peer() as (peer, _):
        for _ in range(NUM_PIECES):
            peer.transport.write(PIECE)
        await settle()
        num_unsent = peer.transport.get_write_buffer_size()
        assert peer.transport.num_acknowledged_bytes == NUM_PIECES * len(PIECE) - num_unsent


async def test_lingering_ends_after_a_timeout() -> None:
    """The peer keeps sending and never closes."""
    async with open_peer(has_input_left=True, linger_sec=0.2) as (peer, other):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(other, b"first")
        peer.transport.pause_reading()
        peer.transport.write(b"enough")
        peer.transport.close()
        assert peer.transport.is_closing()
        peer.transport.write(b"dropped")
        await loop.sock_sendall(other, b"more")
        assert await loop.sock_recv(other, 100) == b"enough"
        assert await loop.sock_recv(other, 100) == b""
        await peer.lost.wait()


async def test_lingering_ends_when_the_peer_closes() -> None:
    async with open_peer(has_input_left=True) as (peer, other):
        peer.transport.close()
        other.shutdown(socket.SHUT_WR)
        await peer.lost.wait()
        peer.transport.close()


async def test_lingering_ends_after_too_many_bytes() -> None:
    """The peer sends fast and never stops."""
    async with open_peer(has_input_left=True) as (peer, other):
        peer.transport.close()
        num_sent = 0
        with suppress(ConnectionError):
            while not peer.lost.is_set():
                await asyncio.get_running_loop().sock_sendall(other, PIECE)
                num_sent += len(PIECE)
        await peer.lost.wait()
        # The rest was still in the buffers.
        assert MAX_LEFTOVER_BYTES <= num_sent < 2 * MAX_LEFTOVER_BYTES


async def test_no_lingering_without_unread_input() -> None:
    async with open_peer() as (peer, other):
        peer.transport.write(b"all")
        peer.transport.close()
        await peer.lost.wait()
        assert await asyncio.get_running_loop().sock_recv(other, 100) == b"all"

"""Peers who take nothing of what they are sent, and those who are only slow."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from orpheus_server.connection_limits import LIMITS_STATE_KEY, ConnectionLimits
from orpheus_server.http_protocol import HttpProtocol
from orpheus_server.peer_transport import PeerTransport
from orpheus_server.settings import Settings
from orpheus_server.synthesizer import LIVE_LOOK_AHEAD
from orpheus_server.websocket_protocol import WebSocketProtocol
from orpheus_server.write_stall import WriteStall
from tests.served import ServedFakes, UvicornThread, wait_until
from tests.support import WAIT_LIMIT_SEC, FakeServer, settle, wait_for
from tests.test_http_protocol import upgrade
from tests.test_routes_stream import SENTENCE

STALL_SEC = 0.2
PIECE = bytes(1 << 20)
NUM_PIECES = 16
"""More than the system keeps for a peer, with both of its buffers."""


class Peer(asyncio.Protocol):
    """The server's side of one connection: what a protocol has to do with its transport."""

    def __init__(self) -> None:
        self.made = asyncio.Event()
        self.lost = asyncio.Event()
        self.has_input_left = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = PeerTransport(
            transport, self, has_input_left=lambda: self.has_input_left, linger_sec=STALL_SEC
        )
        self.stall = WriteStall(self.transport, stall_sec=STALL_SEC)
        self.made.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stall.stop()
        self.lost.set()


@asynccontextmanager
async def open_peer() -> AsyncIterator[tuple[Peer, socket.socket]]:
    """A connected peer and the other end, which takes little at once."""
    peer = Peer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: peer, "127.0.0.1", 0)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        other.setblocking(False)
        await loop.sock_connect(other, server.sockets[0].getsockname())
        await peer.made.wait()
        try:
            async with asyncio.timeout(WAIT_LIMIT_SEC):
                yield peer, other
        finally:
            peer.transport.abort()
            await peer.lost.wait()
            server.close()
            await server.wait_closed()


async def outlast(sec: float) -> None:
    """Returns when the loop's clock is past everything that was due in this time."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(sec, passed.set)
    await passed.wait()


@pytest.mark.anyio
class TestTransport:
    async def test_what_was_taken_is_counted_at_the_other_end(self) -> None:
        """What the system holds for a peer is megabytes of which it has nothing."""
        async with open_peer() as (peer, other):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            await settle()
            num_written = NUM_PIECES * len(PIECE)
            unsent = peer.transport.get_write_buffer_size()
            assert 0 < peer.transport.num_taken_bytes < 100_000 < num_written - unsent

            num_read = 0
            while num_read < num_written:
                num_read += len(await asyncio.get_running_loop().sock_recv(other, 1 << 20))
            await wait_for(lambda: peer.transport.num_taken_bytes == num_written)

    async def test_a_peer_who_takes_nothing(self) -> None:
        async with open_peer() as (peer, _):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            await peer.lost.wait()

    async def test_a_connection_that_is_closing(self) -> None:
        """Closing waits for the peer, and no longer tells the protocol to pause."""
        async with open_peer() as (peer, _):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            peer.transport.close()
            await peer.lost.wait()

    async def test_one_who_takes_and_then_stops(self) -> None:
        async with open_peer() as (peer, other):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            for _ in range(10):
                await outlast(STALL_SEC / 4)
                assert not peer.lost.is_set()
                await asyncio.get_running_loop().sock_recv(other, 65_536)
            await peer.lost.wait()

    async def test_a_slow_peer_while_more_is_written_than_it_takes(self) -> None:
        """What waits for it only grows: by the size of the buffers it would seem to stand still."""
        async with open_peer() as (peer, other):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            sizes = []
            for _ in range(24):
                await asyncio.get_running_loop().sock_recv(other, 32_768)
                peer.transport.write(PIECE)
                await outlast(STALL_SEC / 4)
                sizes.append(peer.transport.get_write_buffer_size())
                assert not peer.lost.is_set()
            assert sizes == sorted(sizes)

    async def test_silence_with_nothing_to_send(self) -> None:
        async with open_peer() as (peer, other):
            peer.transport.write(b"little")
            await outlast(STALL_SEC * 2)
            assert not peer.lost.is_set()
            assert await asyncio.get_running_loop().sock_recv(other, 100) == b"little"
            peer.transport.close()
            await peer.lost.wait()

    async def test_lingering_ends(self) -> None:
        """For a peer who sends and never closes."""
        async with open_peer() as (peer, other):
            loop = asyncio.get_running_loop()
            peer.has_input_left = True
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

    async def test_lingering_ends_with_the_peer(self) -> None:
        async with open_peer() as (peer, other):
            peer.has_input_left = True
            peer.transport.close()
            other.shutdown(socket.SHUT_WR)
            await peer.lost.wait()
            peer.transport.close()


def stalling_server() -> FakeServer:
    return FakeServer(settings=Settings(tts_client_stall_sec=STALL_SEC, tts_max_input_chars=0))


def post(connection: socket.socket, text: str, **options: object) -> None:
    body = json.dumps({"input": text, "response_format": "pcm", **options}).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)


class TestServer:
    def test_a_stream_that_nobody_reads(self) -> None:
        """Its session waited for ever for room in a buffer."""
        with ServedFakes(stalling_server()) as served, served.connect() as connection:
            engine = served.fakes.engine
            post(connection, f"{SENTENCE} " * 400, stream=True)
            wait_until(lambda: len(engine.requests) > LIVE_LOOK_AHEAD)
            # Its end breaks the connection and is no end of the answer.
            wait_until(lambda: served.num_connections == 0)
            wait_until(lambda: engine.num_active == 0)
            assert len(engine.requests) < 400

    def test_a_file_that_nobody_reads(self) -> None:
        """It was complete, and its connection stayed with megabytes in memory."""
        with ServedFakes(stalling_server()) as served, served.connect() as connection:
            post(connection, f"{SENTENCE} " * 100, stream=False)
            assert connection.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: served.num_connections == 0)
            assert served.fakes.engine.num_active == 0

    def test_a_slow_reader_gets_all_of_a_file(self) -> None:
        with ServedFakes(stalling_server()) as served, served.connect() as connection:
            post(connection, f"{SENTENCE} " * 60, stream=False)
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(1)
            head, _, _ = data.partition(b"\r\n\r\n")
            (length,) = [
                int(line.split(b": ")[1])
                for line in head.split(b"\r\n")
                if line.startswith(b"content-length: ")
            ]
            assert length > 60 * 30 * 4096 * 0.9
            num_read, num_rests = 0, 0
            while num_read < length:
                if num_rests < 20 and num_read > num_rests * 65_536:
                    num_rests += 1
                    served.run(outlast(STALL_SEC / 3))
                num_read += len(connection.recv(65_536))
            assert (num_read, num_rests) == (length, 20)

    def test_a_websocket_that_nobody_reads(self) -> None:
        """Speech is sent as it is heard, and pings end its peer first: this is for what is not."""
        flood = Flood()
        config = uvicorn.Config(
            flood, port=0, http=HttpProtocol, ws=WebSocketProtocol, log_config=None
        )
        with UvicornThread(config) as served, socket.create_connection(served.address) as other:
            other.sendall(upgrade())
            assert other.recv(12) == b"HTTP/1.1 101"
            wait_until(lambda: flood.has_ended and served.num_connections == 0)


class Flood:
    """An app whose WebSocket sends as much as is taken, until its peer is gone."""

    has_ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"][LIMITS_STATE_KEY] = ConnectionLimits(client_stall_sec=STALL_SEC)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": PIECE})
        finally:
            self.has_ended = True

"""Connection limits, and peers that do not read what they are sent."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from orpheus_server.server.protocols.http import HttpProtocol
from orpheus_server.server.protocols.limits import (
    LIMITS_STATE_KEY,
    ConnectionLimits,
    WriteTimeout,
    limits_of,
)
from orpheus_server.server.protocols.websocket import WebSocketProtocol
from orpheus_server.settings import Settings
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from tests.server.protocols.test_http import upgrade
from tests.server.protocols.test_transport import NUM_PIECES, PIECE, Peer, open_peer, require_data
from tests.support.app import FakeServer
from tests.support.realtime import SENTENCE
from tests.support.served import ServedFakes, UvicornThread, wait_until


def test_the_defaults_are_those_of_the_settings() -> None:
    """They apply if another app is served, or if the lifespan is off."""
    settings = Settings()
    limits = limits_of({})
    assert limits.receive_timeout_sec == settings.tts_receive_timeout_sec
    assert limits.client_stall_sec == settings.tts_client_stall_sec


def test_the_app_can_set_them() -> None:
    limits = ConnectionLimits(receive_timeout_sec=1.0, client_stall_sec=2.0)
    assert limits_of({LIMITS_STATE_KEY: limits}) is limits
    assert limits_of({LIMITS_STATE_KEY: "other"}) == ConnectionLimits()


STALL_SEC = 0.2


async def outlast(sec: float) -> None:
    """Waits until every timer that is due in this time has run."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(sec, passed.set)
    await passed.wait()


@asynccontextmanager
async def open_watched() -> AsyncIterator[tuple[Peer, socket.socket]]:
    """Runs `open_peer` with a short write timeout."""
    async with open_peer() as (peer, other):
        write_timeout = WriteTimeout(peer.transport, stall_sec=STALL_SEC)
        try:
            yield peer, other
        finally:
            write_timeout.stop()


@pytest.mark.anyio
class TestTransport:
    async def test_a_peer_that_never_reads(self) -> None:
        async with open_watched() as (peer, _):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            await peer.lost.wait()

    async def test_a_connection_that_is_closing(self) -> None:
        """A closing transport waits for the peer, but no longer pauses the protocol."""
        async with open_watched() as (peer, _):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            peer.transport.close()
            await peer.lost.wait()

    async def test_a_peer_that_reads_and_then_stops(self) -> None:
        async with open_watched() as (peer, other):
            for _ in range(NUM_PIECES):
                peer.transport.write(PIECE)
            for _ in range(10):
                await outlast(STALL_SEC / 4)
                assert not peer.lost.is_set()
                await asyncio.get_running_loop().sock_recv(other, 65_536)
            await peer.lost.wait()

    async def test_a_slow_peer_that_is_sent_more_than_it_reads(self) -> None:
        """The buffer only grows, so its size alone would suggest that the peer reads nothing."""
        async with open_watched() as (peer, other):
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
        async with open_watched() as (peer, other):
            peer.transport.write(b"little")
            await outlast(STALL_SEC * 2)
            assert not peer.lost.is_set()
            assert await asyncio.get_running_loop().sock_recv(other, 100) == b"little"
            peer.transport.close()
            await peer.lost.wait()


def stalling_server() -> FakeServer:
    return FakeServer(settings=Settings(tts_client_stall_sec=STALL_SEC, tts_max_input_chars=0))


def post(connection: socket.socket, text: str, **options: object) -> None:
    body = json.dumps({"input": text, "response_format": "pcm", **options}).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)


class TestServer:
    def test_a_stream_that_is_not_read(self) -> None:
        """Its request waited forever for space in a buffer."""
        with ServedFakes(stalling_server()) as served, served.connect() as connection:
            engine = served.fakes.engine
            post(connection, f"{SENTENCE} " * 400, stream=True)
            wait_until(lambda: len(engine.requests) > LIVE_LOOK_AHEAD)
            # The connection is aborted, so the response does not look complete.
            wait_until(lambda: served.num_connections == 0)
            wait_until(lambda: engine.num_active == 0)
            assert len(engine.requests) < 400

    def test_a_file_that_is_not_read(self) -> None:
        """Its connection stayed open, with a complete file of megabytes in memory."""
        with ServedFakes(stalling_server()) as served, served.connect() as connection:
            post(connection, f"{SENTENCE} " * 100, stream=False)
            assert connection.recv(12) == b"HTTP/1.1 200"
            wait_until(lambda: served.num_connections == 0)
            assert served.fakes.engine.num_active == 0

    def test_a_slow_reader_gets_all_of_a_file(self) -> None:
        """It takes three times as long as the limit for a client that reads nothing."""
        settings = Settings(tts_client_stall_sec=0.6)
        with ServedFakes(FakeServer(settings=settings)) as served, served.connect() as connection:
            post(connection, f"{SENTENCE} " * 60, stream=False)
            data = b""
            while b"\r\n\r\n" not in data:
                data += require_data(connection.recv(1))
            (length,) = map(int, re.findall(rb"\r\ncontent-length: (\d+)\r\n", data))
            assert length > 60 * 30 * 4096 * 0.9
            num_read = num_rests = 0
            while num_read < length:
                if num_rests < 12 and num_read > num_rests * 65_536:
                    num_rests += 1
                    served.run(outlast(0.15))
                num_read += len(require_data(connection.recv(65_536)))
            assert (num_read, num_rests) == (length, 12)

    def test_a_websocket_that_is_not_read(self) -> None:
        """An app that sends without pacing; a session paces its speech, so pings fail earlier."""
        flood = Flood()
        config = uvicorn.Config(
            flood, port=0, http=HttpProtocol, ws=WebSocketProtocol, log_config=None
        )
        with UvicornThread(config) as served, socket.create_connection(served.address) as other:
            other.sendall(upgrade())
            assert other.recv(12) == b"HTTP/1.1 101"
            wait_until(lambda: flood.has_ended and served.num_connections == 0)


class Flood:
    """An app whose WebSocket sends as fast as it can until the connection is closed."""

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

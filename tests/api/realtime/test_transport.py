"""Sessions over a real server: clients that disconnect, stall or send invalid messages."""

import asyncio
import base64
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from orpheus_server.fakes import Script
from orpheus_server.server.uvicorn_config import MAX_MESSAGE_BYTES
from orpheus_server.synthesis.synthesizer import LIVE_LOOK_AHEAD
from tests.support.app import (
    NO_WAIT,
    WAIT_LIMIT_SEC,
    FakeServer,
    held_script,
    short_script,
    speech_ids,
)
from tests.support.realtime import (
    CANCEL,
    DONE,
    FRAME_BYTES,
    PATH,
    SENTENCE,
    START,
    chunk_event,
    delta,
    done_event,
    listen,
)
from tests.support.served import ServedFakes, wait_until

ROOT = Path(__file__).parents[3]
ENDLESS = Script(speech_ids(12), hangs_at_end=True)


def say(connection: ClientConnection, *events: dict[str, Any]) -> None:
    for event in events:
        connection.send(json.dumps(event))


@contextmanager
def open_bare(served: ServedFakes) -> Iterator[socket.socket]:
    """A bare socket with a session, without a client library, so that it answers no ping."""
    with served.connect() as connection:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {PATH} HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        yield connection


def text_frame(event: dict[str, Any]) -> bytes:
    """Returns a text message masked with zeros (RFC 6455, section 5.2)."""
    data = json.dumps(event).encode()
    return struct.pack("!BBH4x", 0x81, 0xFE, len(data)) + data


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


class TestTransport:
    """A real uvicorn and the `websockets` client."""

    def test_round_trip(self, served: ServedFakes) -> None:
        with connect(served.socket_url) as connection:
            # Audio hardly shrinks, and compressing it would delay all other sessions.
            assert connection.protocol.extensions == []
            say(connection, START)
            (started,) = listen(connection, "session.started", "error")
            say(connection, *map(delta, SENTENCE), DONE)
            received = listen(connection, "audio.done", "error")
        assert received[:2] == [
            {"type": "audio.start", "utterance": 0},
            chunk_event(0, 0, SENTENCE, 0),
        ]
        assert received[-1] == done_event(0, 32, 211, 30 * 2048)
        audio = b"".join(each for each in received if isinstance(each, bytes))
        assert len(audio) == 30 * FRAME_BYTES

    def test_cancel(self, served: ServedFakes) -> None:
        gate = asyncio.Event()
        held = held_script(short_script(60), gate, num_free_frames=10)
        served.fakes.engine.enqueue(held)
        with connect(served.socket_url) as connection:
            say(connection, START, delta(SENTENCE), DONE)
            listen(connection, "chunk.start")
            assert served.fakes.engine.num_active == 1
            say(connection, CANCEL)
            *_, done = listen(connection, "audio.done")
            assert isinstance(done, dict)
            assert done["is_cancelled"]
            assert served.fakes.engine.num_active == 0
            say(connection, delta("Hello you."), DONE)
            assert listen(connection, "audio.done")[-1] == done_event(1, 10, 64, 9 * 2048)

    def test_a_message_that_is_too_long(self, served: ServedFakes) -> None:
        """By default, uvicorn accepts messages of 16 MiB."""
        with connect(served.socket_url) as connection:
            frame = json.dumps(delta(""))
            connection.send(frame[:-2] + "a" * (MAX_MESSAGE_BYTES - len(frame)) + frame[-2:])
            (rejected,) = listen(connection, "error")

            def overdo() -> None:
                connection.send("a" * (MAX_MESSAGE_BYTES + 1))
                connection.recv(WAIT_LIMIT_SEC)

            # The connection may be closed while the client is still sending.
            with pytest.raises(ConnectionClosedError) as closed:
                overdo()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        with connect(served.socket_url) as connection:
            say(connection, START)
            listen(connection, "session.started")

    def test_pings_of_the_client_are_answered(self, served: ServedFakes) -> None:
        with connect(served.socket_url) as connection:
            assert connection.ping().wait(WAIT_LIMIT_SEC)

    @pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
    def test_a_client_that_disconnects(self, served: ServedFakes, is_reset: bool) -> None:
        """Without a closing handshake, in the middle of an utterance."""
        engine = served.fakes.engine
        engine.enqueue(*[ENDLESS] * LIVE_LOOK_AHEAD)
        num_tasks = served.run(count_tasks())
        with open_bare(served) as connection:
            connection.sendall(text_frame(START) + text_frame(delta(f"{SENTENCE} " * 8)))
            wait_until(lambda: engine.num_active == LIVE_LOOK_AHEAD)
            if is_reset:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_until(lambda: engine.num_active == 0)
        # Tasks of the previous test may still have been ending when they were counted.
        wait_until(lambda: served.run(count_tasks()) <= num_tasks)

    def test_a_client_that_answers_no_ping(self, caplog: pytest.LogCaptureFixture) -> None:
        """Its cable was pulled, and no packet reports that."""
        server = FakeServer()
        server.engine.enqueue(*[ENDLESS] * LIVE_LOOK_AHEAD)
        with (
            ServedFakes(server, ping_sec=0.05) as served,
            caplog.at_level(logging.INFO, logger="orpheus_server"),
            open_bare(served) as connection,
        ):
            connection.sendall(text_frame(START) + text_frame(delta(f"{SENTENCE} " * 8)))
            wait_until(lambda: server.engine.num_aborted == LIVE_LOOK_AHEAD)
            wait_until(lambda: "ended utterances=1" in caplog.text)
        assert server.engine.num_active == 0

    def test_a_client_that_neither_reads_nor_answers_a_ping(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Otherwise uvicorn and the session would wait for ever for the client to read."""
        server = FakeServer()
        with (
            ServedFakes(server, ping_sec=0.2) as served,
            caplog.at_level(logging.INFO, logger="orpheus_server"),
            open_bare(served) as connection,
        ):
            connection.sendall(text_frame(START))
            connection.sendall(text_frame(delta(f"{SENTENCE} " * 10)) * 90)
            wait_until(lambda: "ended utterances=1" in caplog.text)
        assert server.engine.num_active == 0
        # The text has 300 chunks; only a few more than were sent are generated.
        assert len(server.engine.requests) < 150

    def test_generation_pauses_while_the_client_reads_nothing(self, served: ServedFakes) -> None:
        engine = served.fakes.engine
        engine.requests.clear()

        async def count() -> int:
            return len(engine.requests)

        with open_bare(served) as connection:
            connection.sendall(text_frame(START))
            connection.sendall(text_frame(delta(f"{SENTENCE} " * 10)) * 90)
            wait_until(lambda: len(engine.requests) > LIVE_LOOK_AHEAD and engine.num_active == 0)
            num_generated = served.run(count())
            assert num_generated < 150
        wait_until(lambda: engine.num_active == 0)
        assert served.run(count()) <= num_generated + LIVE_LOOK_AHEAD

    def test_the_documented_client(self, served: ServedFakes) -> None:
        text = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
        _, _, rest = text.partition("```python\n")
        code, _, _ = rest.partition("```")
        assert code.count("\n") <= 28
        documented = "ws://127.0.0.1:8880/v1/audio/stream"
        assert documented in code
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code.replace(documented, served.socket_url)],
            capture_output=True,
            timeout=WAIT_LIMIT_SEC,
            check=True,
        )
        events = done.stderr.decode().splitlines()
        assert events[0].startswith("{'type': 'session.started', ")
        assert events[2].endswith("'text': 'Hello there.', 'start_sample': 0}")
        assert "'text': 'This is spoken while it is written.'" in events[3]
        assert f"'num_samples': {len(done.stdout) // 2}, " in events[-1]

    def test_not_ready(self) -> None:
        server = FakeServer(is_loaded=False, settings=NO_WAIT)
        with (
            ServedFakes(server) as served,
            pytest.raises(InvalidStatus) as rejected,
            connect(served.socket_url),
        ):
            pass
        response = rejected.value.response
        assert (response.status_code, response.headers["retry-after"]) == (503, "30")
        assert json.loads(response.body)["error"]["code"] == "engine_unavailable"

    def test_the_server_stops_during_speech(self) -> None:
        server = FakeServer()
        server.engine.enqueue(ENDLESS)
        with ServedFakes(server) as served, connect(served.socket_url) as connection:
            say(connection, START, delta(SENTENCE), DONE)
            listen(connection, "chunk.start")
            served.stop()
            with pytest.raises(ConnectionClosedError) as closed:
                listen(connection, "audio.done")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert (server.engine.num_active, server.engine.num_aborted) == (0, 1)

"""A WebSocket client over the fakes."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import ClientConnection

from tests.support.app import WAIT_LIMIT_SEC, FakeServer

PATH = "/v1/audio/stream"
# One chunk of 30 frames.
SENTENCE = "Abcdefg hijklmno pqrstuv wxyz abcd."
FRAME_BYTES = 4096
START: dict[str, Any] = {"type": "session.start"}
DONE: dict[str, Any] = {"type": "text.done"}
FLUSH: dict[str, Any] = {"type": "text.flush"}
CANCEL: dict[str, Any] = {"type": "cancel"}
Received = dict[str, Any] | bytes


def delta(text: str) -> dict[str, Any]:
    return {"type": "text.delta", "text": text}


def usage(num_input: int, num_output: int) -> dict[str, int]:
    return {
        "input_tokens": num_input,
        "output_tokens": num_output,
        "total_tokens": num_input + num_output,
    }


def done_event(
    utterance: int, num_input: int, num_output: int, num_samples: int, *, num_left_out: int = 0
) -> Received:
    return {
        "type": "audio.done",
        "utterance": utterance,
        "usage": usage(num_input, num_output),
        "num_samples": num_samples,
        "degraded_chunks": [],
        "num_left_out": num_left_out,
        "is_cancelled": False,
    }


def chunk_event(utterance: int, chunk: int, text: str, start_sample: int) -> Received:
    return {
        "type": "chunk.start",
        "utterance": utterance,
        "chunk": chunk,
        "text": text,
        "start_sample": start_sample,
    }


def error_event(message: str, param: str | None, code: str) -> Received:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return {"type": "error", "utterance": None, "error": error}


class Session:
    """The client side of a session."""

    def __init__(self, server: FakeServer, client: TestClient, socket: WebSocketTestSession):
        self.server = server
        self.client = client
        self.socket = socket

    def send(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.socket.send_json(event)

    def receive(self) -> Received:
        # Not `socket.receive()`, which waits forever: a failing test should end.
        waiting = self.socket.portal.start_task_soon(self.socket._send_rx.receive)
        message = waiting.result(WAIT_LIMIT_SEC)
        if message["type"] == "websocket.close":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        data: bytes | None = message.get("bytes")
        if data is not None:
            return data
        event: dict[str, Any] = json.loads(message["text"])
        return event

    def until(self, *types: str) -> list[Received]:
        """Returns messages up to the first event of these types, joining adjacent binary ones."""
        received: list[Received] = []
        while True:
            message = self.receive()
            last = received[-1] if received else None
            if isinstance(message, bytes) and isinstance(last, bytes):
                received[-1] = last + message
                continue
            received.append(message)
            if not isinstance(message, bytes) and message["type"] in types:
                return received

    def start(self, **options: Any) -> dict[str, Any]:
        self.send({**START, **options})
        (started,) = self.until("session.started", "error")
        assert not isinstance(started, bytes)
        assert started["type"] == "session.started", started
        return started

    def speak(self, *texts: str) -> list[Received]:
        self.send(*map(delta, texts), DONE)
        return self.until("audio.done", "error")

    def open_gate(self, gate: asyncio.Event) -> None:
        self.call(gate.set)

    def call(self, function: Callable[[], None]) -> None:
        """Calls the function on the server's event loop."""
        assert self.client.portal is not None
        self.client.portal.call(function)

    def check_alive(self) -> None:
        """Asserts that a short utterance is spoken, without earlier messages."""
        num_samples = 9 * 2048
        start, chunk, audio, done = self.speak("Hello you.")
        assert not isinstance(start, bytes)
        utterance = start["utterance"]
        assert start == {"type": "audio.start", "utterance": utterance}
        assert chunk == chunk_event(utterance, 0, "Hello you.", 0)
        assert len(audio) == 2 * num_samples
        assert done == done_event(utterance, 10, 64, num_samples)


@contextmanager
def open_session(server: FakeServer, path: str = PATH) -> Iterator[Session]:
    """Opens a session; asserts afterwards that the engine is idle."""
    with server.client() as client, client.websocket_connect(path) as socket:
        yield Session(server, client, socket)


def listen(connection: ClientConnection, *types: str) -> list[Received]:
    """Returns all messages up to the first event of these types."""
    received: list[Received] = []
    while True:
        message = connection.recv(WAIT_LIMIT_SEC)
        received.append(message if isinstance(message, bytes) else json.loads(message))
        last = received[-1]
        if isinstance(last, dict) and last["type"] in types:
            return received

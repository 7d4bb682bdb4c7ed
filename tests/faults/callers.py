"""Clients over plain sockets: HTTP libraries hide half requests, stalls and how a body ended."""

import http.client
import json
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

LIMIT_SEC = 90.0
SPEECH = "/v1/audio/speech"


@dataclass(frozen=True)
class Answer:
    """An HTTP response; its status is 0 if the connection ended without one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False
    first_sec: float = 0.0
    total_sec: float = 0.0

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's envelope, which every answer other than 2xx must have."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error

    @property
    def summary(self) -> str:
        """The status and the error code, for the table."""
        if self.status == 0:
            return "cut off"
        if self.status >= 400 and self.body:
            return f"{self.status} {self.error['code']}"
        return f"{self.status}" if self.is_whole else f"{self.status} cut"


def head(
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Returns the request line and these headers, unchecked."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def connect(port: int, *, limit_sec: float = LIMIT_SEC) -> socket.socket:
    """Returns a TCP connection to the server."""
    return socket.create_connection(("127.0.0.1", port), timeout=limit_sec)


def reset(connection: socket.socket) -> None:
    """Closes the connection with an RST, as a killed process does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def exchange(
    port: int, parts: bytes | Iterable[bytes], *, method: str = "GET", limit_sec: float = LIMIT_SEC
) -> Answer:
    """Sends the request, or as much of it as the server accepts, and reads the whole answer."""
    started = time.monotonic()
    with connect(port, limit_sec=limit_sec) as connection:
        # A server that answers early closes the connection before the request has been sent.
        with suppress(ConnectionError):
            for part in (parts,) if isinstance(parts, bytes) else parts:
                connection.sendall(part)
        return read_answer(connection, started, method)


def read_answer(connection: socket.socket, started: float, method: str) -> Answer:
    """Reads an answer until it ends or is cut off."""
    answer = http.client.HTTPResponse(connection, method=method)
    body, first_sec, is_whole = b"", 0.0, True
    try:
        answer.begin()
        while block := answer.read1(65_536):
            first_sec = first_sec or time.monotonic() - started
            body += block
    except (ConnectionError, http.client.HTTPException):
        is_whole = False
    status = answer.status if isinstance(answer.status, int) else 0
    headers = {name.lower(): value for name, value in answer.headers.items()} if status else {}
    length = headers.get("content-length")
    if length is not None and method != "HEAD" and len(body) < int(length):
        is_whole = False
    return Answer(status, headers, body, is_whole, first_sec, time.monotonic() - started)


class Listener:
    """A request whose answer is read in part, or not at all."""

    def __init__(self, port: int, request: bytes, *, receive_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        if receive_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(LIMIT_SEC)
        self._socket.connect(("127.0.0.1", port))
        self._started = time.monotonic()
        self._socket.sendall(request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def take(self, num_bytes: int) -> int:
        """Reads that many bytes of head and body, fewer if the answer ends; returns the number."""
        num_taken = 0
        while num_taken < num_bytes:
            block = self._socket.recv(min(65_536, num_bytes - num_taken))
            if not block:
                break
            num_taken += len(block)
        return num_taken

    def rest(self) -> Answer:
        """Reads the whole answer; call it before `take`."""
        return read_answer(self._socket, self._started, "POST")

    def rest_of_bytes(self) -> bytes:
        """Returns the remaining raw bytes until the answer ends or is cut off."""
        data = b""
        with suppress(ConnectionError):
            while block := self._socket.recv(65_536):
                data += block
        return data

    def leave(self, *, with_reset: bool) -> None:
        """Closes the connection."""
        if with_reset:
            reset(self._socket)
        else:
            self._socket.close()


def pcm(data: bytes) -> npt.NDArray[np.int16]:
    """Returns the samples of a raw body."""
    return np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2")


def is_speech(samples: npt.NDArray[np.int16], least_sec: float, most_sec: float) -> bool:
    """Returns whether the samples are audible and their duration is in these limits."""
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0
    return level > 200 and least_sec <= samples.size / 24_000 <= most_sec

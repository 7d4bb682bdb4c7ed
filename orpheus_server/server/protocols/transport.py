"""A transport that counts the bytes its peer has received, and closes without losing a response."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

try:
    import fcntl
    import termios
except ImportError:
    HAS_QUEUE_LENGTH = False  # Windows
else:
    HAS_QUEUE_LENGTH = True

MAX_LEFTOVER_BYTES = 64 << 20
"""Limit for data that a peer still sends after an early response; twenty of the largest bodies."""


class LingeringTransport:
    """Wraps `inner` for a protocol: counts the written bytes, and lingers when it closes.

    Closing a socket with unread input resets the connection, and the peer loses a response that it
    has not read yet. So if `has_input_left` returns True, only the sending side is closed, and
    further input is discarded until the peer closes too, for `linger_sec` at most.
    """

    def __init__(
        self,
        inner: asyncio.Transport,
        owner: asyncio.Protocol,
        *,
        has_input_left: Callable[[], bool],
        linger_sec: float,
    ) -> None:
        self.inner = inner
        self._owner = owner
        self._has_input_left = has_input_left
        self._linger_sec = linger_sec
        self._is_lingering = False
        self._num_written_bytes = 0

    def __getattr__(self, name: str) -> Any:
        """Passes everything else on to the inner transport."""
        return getattr(self.inner, name)

    @property
    def num_acknowledged_bytes(self) -> int:
        """Bytes that the peer's system has acknowledged; where ours cannot report that, the bytes
        handed to our system."""
        num_unsent: int = self.inner.get_write_buffer_size()
        return self._num_written_bytes - num_unsent - self._num_queued_bytes()

    def _num_queued_bytes(self) -> int:
        if not HAS_QUEUE_LENGTH:
            return 0
        try:
            number = self.inner.get_extra_info("socket").fileno()
            packed = fcntl.ioctl(number, termios.TIOCOUTQ, bytes(struct.calcsize("i")))
        except (AttributeError, OSError, ValueError):
            return 0
        num_bytes: int = struct.unpack("i", packed)[0]
        return num_bytes

    def write(self, data: bytes) -> None:
        """Sends `data`, or drops it if the connection is closing."""
        if not self._is_lingering:
            self._num_written_bytes += len(data)
            self.inner.write(data)

    def is_closing(self) -> bool:
        """Returns whether nothing more can be written."""
        return self._is_lingering or self.inner.is_closing()

    def close(self) -> None:
        """Sends what was written and closes, immediately or after the peer has closed."""
        if self.is_closing():
            return
        if not (self._has_input_left() and self.inner.can_write_eof()):
            self.inner.close()
            return
        self._is_lingering = True
        self.inner.set_protocol(DiscardProtocol(self.inner, self._owner, self._linger_sec))
        if not self.inner.is_reading():
            self.inner.resume_reading()
        self.inner.write_eof()


class DiscardProtocol(asyncio.Protocol):
    """Discards input that arrives after the last response of `owner`."""

    def __init__(
        self, transport: asyncio.Transport, owner: asyncio.Protocol, limit_sec: float
    ) -> None:
        self._transport = transport
        self._owner = owner
        self._num_bytes = 0
        self._timer = asyncio.get_running_loop().call_later(limit_sec, transport.close)

    def data_received(self, data: bytes) -> None:
        """Discards data received after the response, up to a limit."""
        self._num_bytes += len(data)
        if self._num_bytes > MAX_LEFTOVER_BYTES:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Informs the owner."""
        self._timer.cancel()
        self._owner.connection_lost(exc)

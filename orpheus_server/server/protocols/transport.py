"""A transport that knows how much its peer has taken, and closes so that the peer sees why."""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any

MAX_LEFTOVER_BYTES = 64 << 20
"""Of what a peer still sends when it was answered early; twenty of the largest bodies."""


class LingeringTransport:
    """Stands for `inner` towards a protocol: counts what is written, and lingers when it closes.

    A socket that is closed with unread input is reset, and the reset takes with it the answer that
    the peer has not read yet. So where `has_input_left` says that more is to come, only the sending
    side is closed, and what comes is thrown away: until the peer closes too, for `linger_sec` at
    most.
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
        """Everything else is the inner transport's."""
        return getattr(self.inner, name)

    @property
    def num_taken_bytes(self) -> int:
        """Bytes that the peer's side has acknowledged; where the system cannot tell, those that it
        has taken from us to send."""
        num_unsent: int = self.inner.get_write_buffer_size()
        return self._num_written_bytes - num_unsent - self._num_queued_bytes()

    def _num_queued_bytes(self) -> int:
        try:
            number = self.inner.get_extra_info("socket").fileno()
            packed = fcntl.ioctl(number, termios.TIOCOUTQ, bytes(struct.calcsize("i")))
        except (AttributeError, OSError, ValueError):
            return 0
        num_bytes: int = struct.unpack("i", packed)[0]
        return num_bytes

    def write(self, data: bytes) -> None:
        """Sends it; on a connection that is being closed it is dropped."""
        if not self._is_lingering:
            self._num_written_bytes += len(data)
            self.inner.write(data)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._is_lingering or self.inner.is_closing()

    def close(self) -> None:
        """Sends what is written and closes, at once or when the peer has closed."""
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
    """Throws away what still comes on a connection whose `owner` has nothing more to say."""

    def __init__(
        self, transport: asyncio.Transport, owner: asyncio.Protocol, limit_sec: float
    ) -> None:
        self._transport = transport
        self._owner = owner
        self._num_bytes = 0
        self._timer = asyncio.get_running_loop().call_later(limit_sec, transport.close)

    def data_received(self, data: bytes) -> None:
        """Bytes of nobody's."""
        self._num_bytes += len(data)
        if self._num_bytes > MAX_LEFTOVER_BYTES:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The owner still has to know."""
        self._timer.cancel()
        self._owner.connection_lost(exc)

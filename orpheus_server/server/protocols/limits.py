"""Time limits of a connection, and the end of one whose peer reads nothing."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orpheus_server.server.protocols.transport import LingeringTransport

logger = logging.getLogger(__name__)

_LOOKS_PER_STALL = 4

LIMITS_STATE_KEY = "orpheus_connection_limits"
"""Where the lifespan's state has them: the server hands that state to its connections."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Defaults are those of the settings `tts_receive_timeout_sec` and `tts_client_stall_sec`."""

    receive_timeout_sec: float = 20.0
    client_stall_sec: float = 60.0


def limits_of(app_state: Mapping[str, Any]) -> ConnectionLimits:
    """What the app asks for; the defaults for an app that asks for nothing."""
    limits = app_state.get(LIMITS_STATE_KEY)
    return limits if isinstance(limits, ConnectionLimits) else ConnectionLimits()


class WriteTimeout:
    """Aborts a transport that has bytes to send and of which not one was taken for `stall_sec`.

    Looks all the time, not only while the protocol is told to pause: a connection that closes with
    bytes unsent pauses nobody. What is taken is counted at the peer's side, because a player that
    reads in real time may be minutes behind: the system's own buffer is megabytes, and while it is
    full nothing moves above it. Bytes that the system holds alone hold up nothing here.
    """

    def __init__(self, transport: LingeringTransport, *, stall_sec: float) -> None:
        self._transport = transport
        self._stall_sec = stall_sec
        self._loop = asyncio.get_running_loop()
        self._num_taken_bytes = 0
        self._since_sec: float | None = None
        self._timer = self._schedule()

    def stop(self) -> None:
        """The connection is gone, or somebody else's."""
        self._timer.cancel()

    def _schedule(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._stall_sec / _LOOKS_PER_STALL, self._look)

    def _look(self) -> None:
        if self._has_stalled():
            peer = self._transport.get_extra_info("peername")
            logger.info("peer=%s cut off: took nothing for %g s", peer, self._stall_sec)
            self._transport.abort()
            return
        self._timer = self._schedule()

    def _has_stalled(self) -> bool:
        if not self._transport.get_write_buffer_size():
            self._since_sec = None
            return False
        now_sec = self._loop.time()
        num_taken_bytes = self._transport.num_taken_bytes
        if self._since_sec is None or num_taken_bytes > self._num_taken_bytes:
            self._since_sec, self._num_taken_bytes = now_sec, num_taken_bytes
        return now_sec - self._since_sec >= self._stall_sec

"""Time limits of a connection, and a write timeout for peers that read nothing."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orpheus_server.server.protocols.transport import LingeringTransport

logger = logging.getLogger(__name__)

_CHECKS_PER_STALL = 4

LIMITS_STATE_KEY = "orpheus_connection_limits"
"""Their key in the lifespan's state, which the server passes to its connections."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Time limits of a connection.

    The defaults are those of the settings `tts_receive_timeout_sec` and `tts_client_stall_sec`.
    """

    receive_timeout_sec: float = 20.0
    client_stall_sec: float = 60.0


def limits_of(app_state: Mapping[str, Any]) -> ConnectionLimits:
    """Returns the limits that the app has set, or the defaults."""
    limits = app_state.get(LIMITS_STATE_KEY)
    return limits if isinstance(limits, ConnectionLimits) else ConnectionLimits()


class WriteTimeout:
    """Aborts a transport that has bytes to send if the peer receives none for `stall_sec`.

    Checks at regular intervals, not only while the protocol is paused: a connection that is closing
    with unsent bytes does not pause the protocol. Progress is what the peer has acknowledged: the
    system's socket buffer holds megabytes, and a player that reads in real time may need minutes
    before the buffer accepts more. Bytes that are only in the system's buffer do not count as
    unsent, because they hold up nothing here.
    """

    def __init__(self, transport: LingeringTransport, *, stall_sec: float) -> None:
        self._transport = transport
        self._stall_sec = stall_sec
        self._loop = asyncio.get_running_loop()
        self._num_acknowledged_bytes = 0
        self._last_progress_sec: float | None = None
        self._timer = self._schedule()

    def stop(self) -> None:
        """Stops checking: the connection is closed, or another protocol has taken it over."""
        self._timer.cancel()

    def _schedule(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._stall_sec / _CHECKS_PER_STALL, self._check)

    def _check(self) -> None:
        if self._has_stalled():
            peer = self._transport.get_extra_info("peername")
            logger.info("peer=%s cut off: received nothing for %g s", peer, self._stall_sec)
            self._transport.abort()
            return
        self._timer = self._schedule()

    def _has_stalled(self) -> bool:
        if not self._transport.get_write_buffer_size():
            self._last_progress_sec = None
            return False
        now_sec = self._loop.time()
        num_acknowledged_bytes = self._transport.num_acknowledged_bytes
        if self._last_progress_sec is None or num_acknowledged_bytes > self._num_acknowledged_bytes:
            self._last_progress_sec, self._num_acknowledged_bytes = now_sec, num_acknowledged_bytes
        return now_sec - self._last_progress_sec >= self._stall_sec

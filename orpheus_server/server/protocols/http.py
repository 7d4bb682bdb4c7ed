"""uvicorn's HTTP/1.1 protocol with receive and write timeouts and OpenAI-style errors."""

import asyncio
import sys
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from orpheus_server.server.protocols.limits import WriteTimeout, limits_of
from orpheus_server.server.protocols.raw_response import raw_error_response
from orpheus_server.server.protocols.transport import LingeringTransport


class HeaderSizeLimit(h11.Connection):
    """h11's server side with a limit on the size of a request's head.

    h11 itself limits only data that it cannot parse yet: a head that arrives in one piece may be
    larger.
    """

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head_bytes)
        self._max_head_bytes = max_head_bytes

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises `RemoteProtocolError` for a head that is too large, as for any invalid one."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            num_bytes = len(event.target) + sum(len(a) + len(b) for a, b in event.headers)
            if num_bytes > self._max_head_bytes:
                raise h11.RemoteProtocolError("head too large", error_status_hint=431)
        return event


class HttpProtocol(H11Protocol):
    """Limits the time for a head to arrive, and the time in which the peer reads nothing.

    The limits are those that the app's lifespan yields. The app handles a body that does not arrive
    (`BodyLimitMiddleware`); the unread rest of a body is limited here.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = HeaderSizeLimit(config.h11_max_incomplete_event_size or _H11_MAX_HEAD_BYTES)
        self._limits = limits_of(app_state)
        self._arrival_timer: asyncio.TimerHandle | None = None
        self._is_rejected = False

    def connection_made(  # type: ignore[override]  # as uvicorn's own
        self, transport: asyncio.Transport
    ) -> None:
        """Starts the timer for the first head."""
        self._peer = LingeringTransport(
            transport,
            self,
            has_input_left=self._has_input_left,
            linger_sec=self._limits.receive_timeout_sec,
        )
        self._write_timeout = WriteTimeout(self._peer, stall_sec=self._limits.client_stall_sec)
        super().connection_made(cast(asyncio.Transport, self._peer))
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all timers."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts the timer with the first byte of a head and stops it with the last."""
        super().data_received(data)
        self._watch_arrival()

    def on_response_complete(self) -> None:
        """Starts the timer if a part of the next request's head has already arrived."""
        super().on_response_complete()
        self._watch_arrival()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hands the connection over to the WebSocket protocol."""
        self._stop_timers()
        self.transport = self._peer.inner
        super().handle_websocket_upgrade(event)

    def shutdown(self) -> None:
        """Closes the connection without waiting for unread input."""
        if self.cycle is None or self.cycle.response_complete or self._peer.is_closing():
            self._peer.inner.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Responds to an invalid head; uvicorn calls this while it handles h11's exception."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            message = "The head of the request is too large."
            self._reject(431, message, code="request_header_fields_too_large")
        else:
            self._reject(400, "The request is not valid HTTP.", code="invalid_request")

    def _reject(self, status: int, message: str, *, code: str) -> None:
        self._is_rejected = True
        cycle = self.cycle if self.cycle and not self.cycle.response_complete else None
        # A response that has started cannot be replaced by an error.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            is_head = cycle is not None and cycle.scope["method"] == "HEAD"
            headers = self.server_state.default_headers
            data = raw_error_response(
                status, message, code=code, headers=headers, has_body=not is_head
            )
            self._peer.write(data)
        self._peer.close()
        if cycle is not None:
            # The connection lingers, but the app must not wait for the rest of the body.
            cycle.disconnected = True
            cycle.message_event.set()

    def _has_input_left(self) -> bool:
        return self._is_rejected or self.conn.their_state is h11.SEND_BODY

    def _watch_arrival(self) -> None:
        if not self._is_input_due():
            self._stop_arrival_timer()
        elif self._arrival_timer is None:
            self._unset_keepalive_if_required()
            timeout_sec = self._limits.receive_timeout_sec
            self._arrival_timer = self.loop.call_later(timeout_sec, self._allow_grace)

    def _is_input_due(self) -> bool:
        if self._peer.is_closing():
            return False
        if self.conn.their_state is h11.SEND_BODY:
            # The app no longer reads this body, but each byte of it restarts uvicorn's keep-alive.
            return self.conn.our_state is h11.DONE
        has_begun = self._arrival_timer is not None or self.cycle is None or self._has_partial_head
        return self.conn.their_state is h11.IDLE and has_begun

    @property
    def _has_partial_head(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def _allow_grace(self) -> None:
        # If the event loop itself was late, uvloop runs its timers before it reads waiting data.
        self._arrival_timer = self.loop.call_later(_GRACE_SEC, self._on_arrival_timeout)

    def _on_arrival_timeout(self) -> None:
        self._arrival_timer = None
        if self.conn.their_state is h11.IDLE and self._has_partial_head:
            timeout_sec = self._limits.receive_timeout_sec
            message = f"The head of the request did not arrive within {timeout_sec:g} seconds."
            self._reject(408, message, code="request_timeout")
        else:
            # Closed directly, without lingering: the peer is late already.
            self._peer.inner.close()

    def _stop_arrival_timer(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _stop_timers(self) -> None:
        self._write_timeout.stop()
        self._stop_arrival_timer()
        self._unset_keepalive_if_required()


_GRACE_SEC = 0.02

_H11_MAX_HEAD_BYTES = 16 * 1024
"""h11's own limit, for a server without a configured one."""

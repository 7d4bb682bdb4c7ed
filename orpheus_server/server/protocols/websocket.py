"""uvicorn's WebSocket protocol with timeouts, a fragment limit and OpenAI-style errors."""

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import SecurityError
from websockets.frames import Frame
from websockets.http11 import Request

from orpheus_server.server.protocols.limits import WriteTimeout, limits_of
from orpheus_server.server.protocols.raw_response import raw_error_response
from orpheus_server.server.protocols.transport import LingeringTransport

# RFC 6455, section 7.4.1
_INVALID_DATA, _TOO_BIG = 1007, 1009

_SWITCHING_PROTOCOLS = 101

MAX_FRAGMENTS = 1024
"""Limit for one message: empty fragments do not add to its size, but need memory."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Pings every 20 seconds and aborts the connection if the peer does not answer within 20.

    A peer that answers pings but reads no messages is cut off after `client_stall_sec`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # At DEBUG it would log every header, including the client's key.
        self.conn.debug = False
        self._limits = limits_of(app_state)
        self._is_rejected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wraps the transport; the head of the handshake has been read and is passed in next."""
        self._peer = LingeringTransport(
            cast(asyncio.Transport, transport),
            self,
            has_input_left=lambda: self._is_rejected,
            linger_sec=self._limits.receive_timeout_sec,
        )
        self._write_timeout = WriteTimeout(self._peer, stall_sec=self._limits.client_stall_sec)
        super().connection_made(cast(asyncio.Transport, self._peer))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the write timeout."""
        self._write_timeout.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Also responds to a head that h11 accepts and websockets does not."""
        super().data_received(data)
        error = self.conn.handshake_exc
        if error is None or self.handshake_initiated or self._peer.is_closing():
            return
        # uvicorn would keep waiting for a handshake that has already failed.
        if isinstance(error, SecurityError):
            status, code = 431, "request_header_fields_too_large"
        else:
            status, code = 400, "invalid_request"
        message = f"This is not a WebSocket handshake: {error}."
        self._peer.write(
            raw_error_response(status, message, code=code, headers=self.default_headers)
        )
        self._peer.close()

    def handle_connect(self, event: Request) -> None:
        """Rejects a head that is not a handshake with a message of our own: the library's message
        repeats the head, which may contain a key.
        """
        if self.conn.accept(event).status_code == _SWITCHING_PROTOCOLS:
            super().handle_connect(event)
            return
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        message = "Not a valid WebSocket handshake (RFC 6455): check version, key and subprotocols."
        self._peer.write(
            raw_error_response(400, message, code="invalid_request", headers=self.default_headers)
        )
        self._peer.close()

    def handle_ping(self) -> None:
        """Answers, unless the peer sends pings without reading."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """Closes the connection if a message has too many fragments, whatever their size."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self.frames = []
            self.conn.send_close(_TOO_BIG)
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Rejects text that is not UTF-8, for which uvicorn would log a traceback."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(_INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Lingers when it closes: the rest of a message that is too long still arrives."""
        self._is_rejected = True
        super().handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """Aborts the connection, because a ping was not answered."""
        super().keepalive_timeout()
        # A normal close waits until the peer has received all that was written. A peer that has
        # gone away or stopped reading never does, and the session would wait just as long.
        self.transport.abort()

    async def send(self, message: Any) -> None:
        """Marks a rejected handshake as complete; uvicorn would log each as an error of the app."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def shutdown(self) -> None:
        """Closes the connection without waiting for unread input."""
        super().shutdown()
        self._peer.inner.close()

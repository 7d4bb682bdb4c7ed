"""uvicorn's WebSocket, letting go of peers who are gone."""

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
"""Of one message: empty ones weigh nothing against its size, and much in memory."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Pings every 20 seconds, and cuts the connection of a peer who does not answer in 20.

    One that answers and takes nothing of what it is sent is cut after `client_stall_sec`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # At DEBUG it would log every header, the caller's key among them.
        self.conn.debug = False
        self._limits = limits_of(app_state)
        self._is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake's head is complete, and follows."""
        self._peer = LingeringTransport(
            cast(asyncio.Transport, transport),
            self,
            has_input_left=lambda: self._is_refused,
            linger_sec=self._limits.receive_timeout_sec,
        )
        self._write_timeout = WriteTimeout(self._peer, stall_sec=self._limits.client_stall_sec)
        super().connection_made(cast(asyncio.Transport, self._peer))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing of it stays."""
        self._write_timeout.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A head that h11 takes and websockets does not is answered too."""
        super().data_received(data)
        error = self.conn.handshake_exc
        if error is None or self.handshake_initiated or self._peer.is_closing():
            return
        # uvicorn waits for a handshake that is over.
        if isinstance(error, SecurityError):
            status, code = 431, "request_header_fields_too_large"
        else:
            status, code = 400, "invalid_request"
        message = f"This is no WebSocket handshake: {error}."
        self._peer.write(
            raw_error_response(status, message, code=code, headers=self.default_headers)
        )
        self._peer.close()

    def handle_connect(self, event: Request) -> None:
        """A head that is no handshake is refused in our own words: the library's repeat the head,
        in which a key may stand.
        """
        if self.conn.accept(event).status_code == _SWITCHING_PROTOCOLS:
            super().handle_connect(event)
            return
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        message = "This is no WebSocket handshake of RFC 6455 (its version, key or subprotocols)."
        self._peer.write(
            raw_error_response(400, message, code="invalid_request", headers=self.default_headers)
        )
        self._peer.close()

    def handle_ping(self) -> None:
        """Answered, but for a peer who sends pings and takes nothing."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """A part of a message; one in a great many parts is too big whatever they hold."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self.frames = []
            self.conn.send_close(_TOO_BIG)
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Text that is no UTF-8 is its sender's mistake; uvicorn logs a traceback of each."""
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
        """The code says what is wrong; the rest of a message that is too long still comes."""
        self._is_refused = True
        super().handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """A ping was not answered."""
        super().keepalive_timeout()
        # Closing waits until the peer has taken all that was written; one who is gone, or reads no
        # more, never does, and what speaks to it would wait as long.
        self.transport.abort()

    async def send(self, message: Any) -> None:
        """A refusal is the end of a handshake; to uvicorn each would be an error of the app."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    def shutdown(self) -> None:
        """A server that ends waits for no peer's leftovers."""
        super().shutdown()
        self._peer.inner.close()

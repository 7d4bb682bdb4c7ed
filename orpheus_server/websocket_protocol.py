"""uvicorn's WebSocket, letting go of peers who are gone."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Pings every 20 seconds, and cuts the connection of a peer who does not answer in 20."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # At DEBUG it would log every header, the caller's key among them.
        self.conn.debug = False

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

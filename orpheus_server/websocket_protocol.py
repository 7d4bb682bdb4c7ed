"""uvicorn's WebSocket, letting go of peers who are gone."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Pings every 20 seconds, and cuts the connection of a peer who does not answer in 20."""

    def keepalive_timeout(self) -> None:
        """A ping was not answered."""
        super().keepalive_timeout()
        # Closing waits until the peer has taken all that was written; one who is gone, or reads no
        # more, never does, and what speaks to it would wait as long.
        self.transport.abort()

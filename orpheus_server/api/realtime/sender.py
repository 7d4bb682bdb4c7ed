"""The sending half of a session's WebSocket."""

import asyncio

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from orpheus_server.api.realtime.events import ServerEvent

_ABNORMAL_CLOSURE = 1006
"""RFC 6455, section 7.4.1."""


class EventSender:
    """Sends the messages of several tasks one after the other.

    Raises `WebSocketDisconnect` once the client has disconnected.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._sending = asyncio.Lock()

    async def send(self, event: ServerEvent) -> None:
        """Sends an event as a text message."""
        async with self._sending:
            self._check_connected()
            await self._socket.send_text(event.model_dump_json())

    async def send_audio(self, data: bytes) -> None:
        """Sends encoded audio as a binary message."""
        async with self._sending:
            self._check_connected()
            await self._socket.send_bytes(data)

    async def close(self, code: int, reason: str | None = None) -> None:
        """Closes the connection without waiting for a message that is being sent."""
        await self._socket.close(code, reason)

    def _check_connected(self) -> None:
        # After a disconnect, Starlette raises this only for the first task that sends.
        if self._socket.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnect(_ABNORMAL_CLOSURE)

"""What a session tells its caller, message by message."""

import asyncio

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from orpheus_server.api.realtime.events import ServerEvent

_ABNORMAL_CLOSURE = 1006
"""RFC 6455, section 7.4.1."""


class EventSender:
    """The sending half of a WebSocket, for several tasks: a message is whole before the next.

    Raises `WebSocketDisconnect` once the caller is gone.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._sending = asyncio.Lock()

    async def send(self, event: ServerEvent) -> None:
        """An event, as text."""
        async with self._sending:
            self._check_connected()
            await self._socket.send_text(event.model_dump_json())

    async def send_audio(self, data: bytes) -> None:
        """Bytes of an utterance, as they are."""
        async with self._sending:
            self._check_connected()
            await self._socket.send_bytes(data)

    async def close(self, code: int) -> None:
        """The end; at once, even if the caller takes nothing of what is being sent."""
        await self._socket.close(code)

    def _check_connected(self) -> None:
        # Of the tasks that send only the first one to do so is told that the caller is gone.
        if self._socket.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnect(_ABNORMAL_CLOSURE)

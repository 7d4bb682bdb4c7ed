"""Several tasks of a session that send at the same time."""

import asyncio

import pytest
from fastapi import WebSocket
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.realtime.events import AudioStart
from orpheus_server.api.realtime.sender import EventSender
from tests.support.app import settle

pytestmark = pytest.mark.anyio


class Peer:
    """Receives a message in two steps, the second once `may_go_on` is set; may be gone."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.may_go_on = asyncio.Event()
        self.is_gone = False

    async def open(self) -> EventSender:
        socket = WebSocket({"type": "websocket"}, self._receive, self._send)
        await socket.accept()
        self.steps.clear()
        self.may_go_on.clear()
        return EventSender(socket)

    async def _receive(self) -> Message:
        self.may_go_on.set()
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        if self.is_gone:
            raise OSError
        payload = message.get("text") or message.get("bytes") or message.get("code")
        self.steps.append(f"begin {payload}")
        await self.may_go_on.wait()
        self.steps.append(f"end {payload}")


EVENT = '{"type":"audio.start","utterance":1}'


async def test_a_message_is_sent_completely_before_the_next() -> None:
    peer = Peer()
    sender = await peer.open()
    sending = [
        asyncio.create_task(sender.send_audio(b"ab")),
        asyncio.create_task(sender.send(AudioStart(utterance=1))),
        asyncio.create_task(sender.send_audio(b"cd")),
    ]
    await settle()
    assert peer.steps == ["begin b'ab'"]
    # A message that is cancelled while it waits is never started.
    sending[2].cancel()
    peer.may_go_on.set()
    await asyncio.wait(sending)
    assert peer.steps == ["begin b'ab'", "end b'ab'", f"begin {EVENT}", f"end {EVENT}"]


async def test_a_message_cancelled_in_the_middle_does_not_block_the_next() -> None:
    peer = Peer()
    sender = await peer.open()
    sending = asyncio.create_task(sender.send_audio(b"ab"))
    await settle()
    sending.cancel()
    await asyncio.wait([sending])
    peer.may_go_on.set()
    await sender.send(AudioStart(utterance=1))
    assert peer.steps[1:] == [f"begin {EVENT}", f"end {EVENT}"]


async def test_closing_does_not_wait_for_a_message() -> None:
    """A client that reads nothing would never be disconnected."""
    peer = Peer()
    sender = await peer.open()
    sending = asyncio.create_task(sender.send_audio(b"ab"))
    await settle()
    closing = asyncio.create_task(sender.close(1011))
    await settle()
    assert peer.steps == ["begin b'ab'", "begin 1011"]
    peer.may_go_on.set()
    await asyncio.wait([sending, closing])


async def test_every_send_after_a_disconnect_raises() -> None:
    peer = Peer()
    sender = await peer.open()
    peer.is_gone = True
    for _ in range(2):
        with pytest.raises(WebSocketDisconnect) as left:
            await sender.send_audio(b"ab")
        assert left.value.code == 1006

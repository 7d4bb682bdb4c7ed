"""An answer of the language model, told and spoken while it is being written."""

import asyncio
from contextlib import aclosing

from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.answers.spoken_reply import open_spoken_reply
from orpheus_server.api.realtime.dialogue import Dialogue
from orpheus_server.api.realtime.events import (
    STREAM_ROUTE,
    TranscriptDelta,
    TranscriptDone,
    chat_usage_of,
)
from orpheus_server.api.realtime.sender import EventSender
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.api.realtime.utterances import ChatUtterance
from orpheus_server.chat.reply import Reply
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.speech_services import SpeechServices


class ChatSpeaker:
    """Asks the model and sends what it says, as text and as sound."""

    def __init__(
        self, services: SpeechServices, sender: EventSender, dialogue: Dialogue, caller: str
    ) -> None:
        self._services = services
        self._sender = sender
        self._dialogue = dialogue
        self._caller = caller

    async def speak(self, utterance: ChatUtterance, request_id: str, audio: SentAudio) -> None:
        """The whole answer; being cancelled stops both models.

        Raises what either of them does, behind the sound of all that was written before.
        """
        messages = self._dialogue.messages_for(utterance)
        with self._services.admission.reserve(self._caller, "interactive") as slot:
            opened = open_spoken_reply(
                self._services,
                request_id,
                messages,
                utterance.options,
                params=utterance.params,
                slot=slot,
                route=STREAM_ROUTE,
                caller=self._caller,
            )
            async with opened as spoken_reply:
                utterance.begin(spoken_reply, audio)
                self._dialogue.begin(utterance)
                transcript_task = asyncio.create_task(
                    self._send_transcript(utterance.index, spoken_reply.reply)
                )
                try:
                    async with aclosing(spoken_reply.pieces()) as pieces:
                        await audio.send_all(pieces, spoken_reply.stats)
                    await transcript_task
                except OrpheusError:
                    if spoken_reply.reply.has_ended:
                        # A caller who reads slowly is still told all that was written.
                        await asyncio.wait({transcript_task})
                    raise
                except WebSocketDisconnect:
                    spoken_reply.report("caller left")
                    raise
                finally:
                    await cancel_all([transcript_task])

    async def _send_transcript(self, utterance: int, reply: Reply) -> None:
        async with aclosing(reply.deltas()) as deltas:
            async for text in deltas:
                await self._sender.send(TranscriptDelta(utterance=utterance, text=text))
        await self._sender.send(
            TranscriptDone(
                utterance=utterance,
                text=reply.text,
                finish_reason=reply.stats.finish_reason or "stop",
                usage=chat_usage_of(reply.stats),
            )
        )

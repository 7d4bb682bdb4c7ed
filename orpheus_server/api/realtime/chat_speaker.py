"""An answer of the language model, told and spoken while it is being written."""

import asyncio
from contextlib import aclosing

from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.answers.spoken_reply import open_talk
from orpheus_server.api.realtime.dialogue import Dialogue
from orpheus_server.api.realtime.events import (
    STREAM_ROUTE,
    TranscriptDelta,
    TranscriptDone,
    chat_usage_of,
)
from orpheus_server.api.realtime.sender import EventSender
from orpheus_server.api.realtime.sent_audio import SentSound
from orpheus_server.api.realtime.utterances import Answer
from orpheus_server.chat.reply import Reply
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.state import Runtime


class AnswerSpeaker:
    """Asks the model and sends what it says, as text and as sound."""

    def __init__(
        self, runtime: Runtime, sender: EventSender, dialogue: Dialogue, caller: str
    ) -> None:
        self._runtime = runtime
        self._sender = sender
        self._dialogue = dialogue
        self._caller = caller

    async def speak(self, answer: Answer, request_id: str, sound: SentSound) -> None:
        """The whole answer; being cancelled stops both models.

        Raises what either of them does, behind the sound of all that was written before.
        """
        messages = self._dialogue.messages_for(answer)
        with self._runtime.admission.reserve(self._caller, "interactive") as slot:
            talking = open_talk(
                self._runtime,
                request_id,
                messages,
                answer.options,
                how=answer.how,
                slot=slot,
                route=STREAM_ROUTE,
                caller=self._caller,
            )
            async with talking as talk:
                answer.begin(talk, sound)
                self._dialogue.begin(answer)
                telling = asyncio.create_task(self._tell(answer.index, talk.reply))
                try:
                    async with aclosing(talk.pieces()) as pieces:
                        await sound.send_all(pieces, talk.stats)
                    await telling
                except OrpheusError:
                    if talk.reply.has_ended:
                        # A caller who reads slowly is still told all that was written.
                        await asyncio.wait({telling})
                    raise
                except WebSocketDisconnect:
                    talk.report("caller left")
                    raise
                finally:
                    await cancel_all([telling])

    async def _tell(self, utterance: int, reply: Reply) -> None:
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

"""An utterance that is the language model's reply, sent and spoken while it is written."""

import asyncio
from contextlib import aclosing
from typing import Literal

from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.answers.spoken_reply import SpokenReply, open_spoken_reply
from orpheus_server.api.realtime.dialogue import Exchange
from orpheus_server.api.realtime.events import (
    STREAM_ROUTE,
    TranscriptDelta,
    TranscriptDone,
    chat_usage_of,
)
from orpheus_server.api.realtime.utterance import SessionContext, Utterance
from orpheus_server.chat.reply import Reply
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError
from orpheus_server.interfaces import ReplyOptions
from orpheus_server.synthesis.job import SpeechParams


class ChatUtterance(Utterance):
    """Sends a user's message to the model, and the reply to the client as text and as audio."""

    def __init__(
        self,
        index: int,
        params: SpeechParams,
        session: SessionContext,
        *,
        question: str,
        options: ReplyOptions,
    ) -> None:
        super().__init__(index, params, session)
        self._options = options
        self._exchange = Exchange(question, self.audio)
        self._spoken_reply: SpokenReply | None = None

    @property
    def num_left_out(self) -> int:
        return self._exchange.reply.num_left_out if self._exchange.reply else 0

    async def speak(self) -> None:
        session, dialogue = self._session, self._session.dialogue
        messages = dialogue.messages_for(self._exchange)
        with session.services.admission.reserve(session.caller, "interactive") as slot:
            opened = open_spoken_reply(
                session.services,
                self.request_id,
                messages,
                self._options,
                params=self.params,
                slot=slot,
                route=STREAM_ROUTE,
                caller=session.caller,
            )
            async with opened as spoken_reply:
                self._spoken_reply, self.stats = spoken_reply, spoken_reply.stats
                self._exchange.reply = spoken_reply.reply
                dialogue.begin(self._exchange)
                await self._send(spoken_reply)
        dialogue.finish(self._exchange)

    async def end_text(self) -> None:
        """Does nothing: a chat message arrives complete."""

    async def fail(self, error: OrpheusError) -> None:
        # A reply that has begun is logged and counted where it was opened.
        if self._spoken_reply is None:
            await super().fail(error)
            self._session.services.metrics.count_utterance(STREAM_ROUTE, "failed")
        truncated = self._session.dialogue.fail(self._exchange)
        if truncated is not None:
            await self._session.sender.send(truncated)

    def cancel(self) -> None:
        super().cancel()
        if self._spoken_reply is None:
            # The client cannot know whether the reply had begun when it cancelled.
            self._session.dialogue.begin(self._exchange)

    def report(self, outcome: Literal["cancelled", "caller left"]) -> None:
        if self._spoken_reply is None:
            super().report(outcome)
        else:
            self._spoken_reply.report(outcome)

    async def _send(self, spoken_reply: SpokenReply) -> None:
        transcript_task = asyncio.create_task(self._send_transcript(spoken_reply.reply))
        try:
            async with aclosing(spoken_reply.pieces(silence_sec=0.0)) as pieces:
                await self.audio.send_all(pieces, self.stats)
            await transcript_task
        except OrpheusError:
            if spoken_reply.reply.has_ended:
                # A client that reads slowly still receives everything that was written.
                await asyncio.wait({transcript_task})
            raise
        except WebSocketDisconnect:
            spoken_reply.report("caller left")
            raise
        finally:
            await cancel_all([transcript_task])

    async def _send_transcript(self, reply: Reply) -> None:
        sender = self._session.sender
        async with aclosing(reply.deltas()) as deltas:
            async for text in deltas:
                await sender.send(TranscriptDelta(utterance=self.index, text=text))
        await sender.send(
            TranscriptDone(
                utterance=self.index,
                text=reply.text,
                finish_reason=reply.stats.finish_reason or "stop",
                usage=chat_usage_of(reply.stats),
            )
        )

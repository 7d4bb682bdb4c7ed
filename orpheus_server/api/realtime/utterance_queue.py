"""The utterances of one session, spoken one after the other."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.realtime.chat_speaker import ChatSpeaker
from orpheus_server.api.realtime.dialogue import Dialogue
from orpheus_server.api.realtime.events import (
    STREAM_ROUTE,
    AudioDone,
    ErrorEvent,
    TranscriptTruncated,
)
from orpheus_server.api.realtime.sender import EventSender
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.api.realtime.text_speaker import TextSpeaker
from orpheus_server.api.realtime.utterances import ChatUtterance, TextUtterance
from orpheus_server.api.schemas.speech_events import usage_of
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.errors import error_body

logger = logging.getLogger(__name__)

# RFC 6455, section 7.4.1
_INTERNAL_ERROR = 1011


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Why a session has to end, and the code that it is closed with."""

    error: OrpheusError
    code: int


class UtteranceQueue:
    """Takes utterances, speaks them in order, and tells how each one ended."""

    def __init__(
        self,
        services: SpeechServices,
        sender: EventSender,
        dialogue: Dialogue,
        session_id: str,
        caller: str,
    ) -> None:
        self._services = services
        self._sender = sender
        self._dialogue = dialogue
        self._chat_speaker = ChatSpeaker(services, sender, dialogue, caller)
        self._text_speaker = TextSpeaker(services, caller)
        self._id = session_id
        self._sample_rate = services.synthesizer().sample_rate
        self._pending: list[TextUtterance | ChatUtterance] = []
        self._audios: list[SentAudio] = []
        self._has_work = asyncio.Event()
        self._end: SessionEnd | None = None
        self._task: asyncio.Task[None] | None = None
        self.num_utterances = 0

    @property
    def num_pending(self) -> int:
        """Utterances that are spoken or wait to be."""
        return len(self._pending)

    @property
    def is_over(self) -> bool:
        """True once it has closed the session."""
        return self._task is not None and self._task.done()

    def start(self) -> None:
        """In a task of its own, until `leave`."""
        self._task = asyncio.create_task(self._speak_all())

    def add(self, utterance: TextUtterance | ChatUtterance) -> None:
        """Appends an utterance to the queue."""
        self._pending.append(utterance)
        self.num_utterances += 1
        self._has_work.set()

    def end_after_current(self, end: SessionEnd) -> TextUtterance | ChatUtterance | None:
        """What is being spoken is the last one: it, if there is one. `wake` comes after this."""
        self._end = end
        del self._pending[1:]
        return self._pending[0] if self._pending else None

    def wake(self) -> None:
        """The end may have come."""
        self._has_work.set()

    async def cancel(self, played_ms: float | None) -> None:
        """Stops everything that is spoken or waits to be, and tells so.

        `played_ms` is where the player was in the utterance whose sound began last.
        """
        if self._end is not None and not self._pending:
            return
        for utterance in self._pending:
            if isinstance(utterance, ChatUtterance) and utterance.spoken_reply is not None:
                utterance.spoken_reply.report("cancelled")
        await self.stop()
        pending, self._pending = self._pending, []
        self._has_work.clear()
        truncated = self._cut_off(pending, played_ms)
        self.start()
        if truncated is not None:
            await self._sender.send(truncated)
        for utterance in pending:
            await self._sender.send(_done(utterance, is_cancelled=True))
        if self._end is not None:
            self.wake()

    async def leave(self) -> None:
        """The caller is gone, or the session is closed: nothing of it is left in the engines."""
        first = self._pending[0] if self._pending else None
        # The report of an answer that is left counts it.
        if first is not None and not (
            isinstance(first, ChatUtterance) and first.spoken_reply is not None
        ):
            self._services.metrics.count_disconnect(STREAM_ROUTE)
        await self.stop()

    async def stop(self) -> None:
        """Nothing more is sent, and both engines are free."""
        if self._task is not None:
            await cancel_all([self._task])

    async def break_off(self) -> None:
        """For a bug of ours, where it was caught: the log has its id, the caller a reason."""
        logger.exception("session=%s failed unexpectedly", self._id)
        # A socket that was closed meanwhile says so by either.
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._sender.close(_INTERNAL_ERROR)

    def _cut_off(
        self, pending: list[TextUtterance | ChatUtterance], played_ms: float | None
    ) -> TranscriptTruncated | None:
        playing = max((audio.index for audio in self._audios if audio.has_begun), default=None)
        for utterance in pending:
            if isinstance(utterance, ChatUtterance) and utterance.spoken_reply is None:
                # Nobody who interrupts it can know whether it had been reached.
                self._dialogue.begin(utterance)
        return self._dialogue.interrupt(played_ms, playing=playing)

    async def _speak_all(self) -> None:
        try:
            while True:
                await self._has_work.wait()
                if self._pending:
                    await self._speak(self._pending[0])
                    del self._pending[0]
                if self._end is not None:
                    return await self._close(self._end)
                if not self._pending:
                    self._has_work.clear()
        except WebSocketDisconnect:
            pass  # the reader is told too
        except Exception:  # a task's edge: a bug of ours must not leave a session without sound
            await self.break_off()

    async def _close(self, end: SessionEnd) -> None:
        await self._sender.send(ErrorEvent(error=error_body(end.error)))
        await self._sender.close(end.code)

    async def _speak(self, utterance: TextUtterance | ChatUtterance) -> None:
        request_id = f"{self._id}-{utterance.index}"
        audio = self._open_audio(utterance)
        try:
            if isinstance(utterance, ChatUtterance):
                await self._chat_speaker.speak(utterance, request_id, audio)
                self._dialogue.finish(utterance)
            else:
                await self._text_speaker.speak(utterance, request_id, audio)
        except OrpheusError as error:
            if isinstance(utterance, TextUtterance) or utterance.spoken_reply is None:
                # A spoken reply has its own line.
                logger.warning("request=%s failed: %s", request_id, error)
            if isinstance(utterance, ChatUtterance):
                await self._fail_chat(utterance)
            else:
                utterance.fail()
            await self._sender.send(ErrorEvent(utterance=utterance.index, error=error_body(error)))
            return
        await self._sender.send(_done(utterance, is_cancelled=False))

    def _open_audio(self, utterance: TextUtterance | ChatUtterance) -> SentAudio:
        audio = SentAudio(
            utterance.index,
            self._sender,
            sample_rate=self._sample_rate,
            speed=utterance.params.speed,
        )
        # The last one that was heard is asked for until this one is.
        self._audios = [*[each for each in self._audios if each.has_begun][-1:], audio]
        return audio

    async def _fail_chat(self, utterance: ChatUtterance) -> None:
        if utterance.spoken_reply is None:
            self._services.metrics.count_utterance(STREAM_ROUTE, "failed")
        truncated = self._dialogue.fail(utterance)
        if truncated is not None:
            await self._sender.send(truncated)


def _done(utterance: TextUtterance | ChatUtterance, *, is_cancelled: bool) -> AudioDone:
    stats = utterance.stats
    return AudioDone(
        utterance=utterance.index,
        usage=usage_of(stats),
        num_samples=stats.num_samples,
        degraded_chunks=stats.degraded_chunks,
        is_cancelled=is_cancelled,
    )

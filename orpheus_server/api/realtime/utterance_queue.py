"""The utterances of one session, spoken one after the other."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from starlette.websockets import WebSocketDisconnect

from orpheus_server.api.realtime.events import AudioDone, ErrorEvent
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.api.realtime.utterance import SessionContext, Utterance
from orpheus_server.api.schemas.speech_events import usage_of
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import OrpheusError
from orpheus_server.server.errors import error_body

logger = logging.getLogger(__name__)

# RFC 6455, section 7.4.1
_INTERNAL_ERROR = 1011


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Why a session has to end, and the close code that it ends with."""

    error: OrpheusError
    code: int


class UtteranceQueue:
    """Speaks utterances in order, and reports how each of them ended."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._sender = session.sender
        self._pending: list[Utterance] = []
        self._audios: list[SentAudio] = []
        self._has_work = asyncio.Event()
        self._end: SessionEnd | None = None
        self._task: asyncio.Task[None] | None = None
        self.num_utterances = 0

    @property
    def num_pending(self) -> int:
        """Utterances that are being spoken or are waiting."""
        return len(self._pending)

    @property
    def is_over(self) -> bool:
        """True once it has closed the session."""
        return self._task is not None and self._task.done()

    def start(self) -> None:
        """Speaks in a task of its own until `stop`."""
        self._task = asyncio.create_task(self._speak_all())

    def add(self, utterance: Utterance) -> None:
        self._pending.append(utterance)
        self.num_utterances += 1
        self._has_work.set()

    async def end_after_current(self, end: SessionEnd) -> None:
        """Ends the session after the current utterance, which gets no more text."""
        self._end = end
        del self._pending[1:]
        if self._pending:
            await self._pending[0].end_text()
        self._has_work.set()

    async def cancel(self, played_ms: float | None) -> None:
        """Cancels all utterances, and sends the end of each of them.

        `played_ms` is the player's position in the utterance whose audio began last.
        """
        if self._end is not None and not self._pending:
            return
        for utterance in self._pending:
            utterance.cancel()
        await self.stop()
        pending, self._pending = self._pending, []
        self._has_work.clear()
        playing = max((audio.index for audio in self._audios if audio.has_begun), default=None)
        truncated = self._session.dialogue.interrupt(played_ms, playing=playing)
        self.start()
        if truncated is not None:
            await self._sender.send(truncated)
        for utterance in pending:
            await self._sender.send(_done(utterance, is_cancelled=True))
        if self._end is not None:
            self._has_work.set()

    async def leave(self) -> None:
        """Stops after the caller has left or the session was closed."""
        if self._pending:
            self._pending[0].report("caller left")
        await self.stop()

    async def stop(self) -> None:
        """Stops sending, and frees both engines."""
        if self._task is not None:
            await cancel_all([self._task])

    async def break_off(self) -> None:
        """Logs the exception that is being handled, a bug, and closes the session."""
        logger.exception("session=%s failed unexpectedly", self._session.id)
        # Either of them is raised by a socket that has been closed in the meantime.
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._sender.close(_INTERNAL_ERROR)

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
            pass  # the task that reads from the socket notices too
        except Exception:  # the task's edge: a bug must not leave a session without audio
            await self.break_off()

    async def _close(self, end: SessionEnd) -> None:
        await self._sender.send(ErrorEvent(error=error_body(end.error)))
        await self._sender.close(end.code)

    async def _speak(self, utterance: Utterance) -> None:
        # The audio that began last stays until this one begins: its player may still be playing.
        self._audios = [*[each for each in self._audios if each.has_begun][-1:], utterance.audio]
        try:
            await utterance.speak()
        except OrpheusError as error:
            await utterance.fail(error)
            await self._sender.send(ErrorEvent(utterance=utterance.index, error=error_body(error)))
            return
        await self._sender.send(_done(utterance, is_cancelled=False))


def _done(utterance: Utterance, *, is_cancelled: bool) -> AudioDone:
    stats = utterance.stats
    return AudioDone(
        utterance=utterance.index,
        usage=usage_of(stats),
        num_samples=stats.num_samples,
        degraded_chunks=stats.degraded_chunks,
        num_left_out=utterance.num_left_out,
        is_cancelled=is_cancelled,
    )

"""One WebSocket session: text comes in as it is written, sound goes out as it is made."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from fastapi import WebSocket
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocketDisconnect, WebSocketState

from orpheus_server.checkpoint import Voice
from orpheus_server.errors import OrpheusError, RequestError
from orpheus_server.http_errors import error_body
from orpheus_server.pacing import Pacer
from orpheus_server.routes.speech_options import (
    check_options,
    ignored_fields,
    resolve_sampling,
    too_long,
)
from orpheus_server.runtime import Runtime
from orpheus_server.stream_events import (
    CLIENT_EVENT,
    AudioDone,
    AudioStart,
    Cancel,
    ChunkStart,
    ErrorEvent,
    ServerEvent,
    SessionStart,
    SessionStarted,
    TextDelta,
    TextDone,
    TextFlush,
    usage_of,
)
from orpheus_server.synthesizer import SpeechJob, SpeechStats
from orpheus_server.tasks import cancel_all
from orpheus_server.text_stream import TextStream

logger = logging.getLogger(__name__)

MAX_WAITING_UTTERANCES = 8
"""Utterances whose text has come and whose turn has not: their text is all that they hold."""

_MAX_UNLIMITED_CHARS = 1_000_000
"""Longest text of an utterance where the setting allows any: it is kept until it is spoken."""

_SLICE_CHARS = 500
"""Text that is cut in one go: its phonemes take some 20 ms of a worker, and are then spoken."""

_MAX_PROBLEM_CHARS = 200
"""An unknown type is told back to its sender, but not a megabyte of it."""

_ABNORMAL_CLOSURE, _INTERNAL_ERROR = 1006, 1011  # RFC 6455, section 7.4.1


class Utterance:
    """Text of one utterance on its way to speech."""

    def __init__(self, index: int, stream: TextStream) -> None:
        self.index = index
        self.stream = stream
        self.has_all_text = False
        self.stats = SpeechStats()
        self._chunks: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, chunks: list[str]) -> None:
        """Chunks that are certain."""
        for chunk in chunks:
            self._chunks.put_nowait(chunk)

    def end(self) -> None:
        """There are no more."""
        self._chunks.put_nowait(None)

    async def texts(self) -> AsyncGenerator[str, None]:
        """Chunks in order, each once it is there."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk


class StreamSession:
    """Reads events, speaks one utterance after the other, and tells what it does.

    Raises `EngineUnavailable` when it is made and nobody can be served.
    """

    def __init__(self, socket: WebSocket, runtime: Runtime, session_id: str) -> None:
        self._socket = socket
        self._runtime = runtime
        # Text is cut even when the engine is lost, so that each utterance comes to its end.
        self._synthesizer = runtime.synthesizer
        self._id = session_id
        self._options: SessionStart | None = None
        self._voice: Voice = runtime.checkpoint.default_voice
        self._num_utterances = 0
        self._utterances: list[Utterance] = []
        self._has_utterance = asyncio.Event()
        self._is_dropping_text = False
        self._speaker: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the caller leaves; afterwards nothing of it is left in the engine."""
        self._speaker = asyncio.create_task(self._speak_all())
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect" or self._speaker.done():
                    return
                await self._answer(message.get("text"))
        except WebSocketDisconnect:
            pass  # found out by sending
        except Exception:  # the session's edge: the log has its id, the caller a reason
            await cancel_all([self._speaker])
            await self._break_off()
        finally:
            await cancel_all([self._speaker])
            logger.info("session=%s ended utterances=%d", self._id, self._num_utterances)

    async def _answer(self, text: str | None) -> None:
        try:
            await self._handle(_parse(text))
        except OrpheusError as error:
            await self._send(ErrorEvent(error=error_body(error)))

    async def _handle(self, event: BaseModel) -> None:
        match event:
            case SessionStart():
                await self._start(event)
            case TextDelta() | TextFlush() | TextDone() if self._is_dropping_text:
                self._is_dropping_text = not isinstance(event, TextDone)
            case TextDelta():
                await self._take_text(event.text)
            case TextFlush():
                utterance = self._open_utterance("text.flush")
                utterance.put(await self._run_text(utterance.stream.flush))
            case TextDone():
                await self._end_text(self._open_utterance("text.done"))
            case Cancel():
                await self._cancel()

    async def _start(self, options: SessionStart) -> None:
        if self._utterances:
            raise _out_of_order("session.start", "an utterance is being spoken; 'cancel' ends it")
        self._voice = check_options(options, self._runtime)
        self._options = options
        self._is_dropping_text = False
        await self._send(
            SessionStarted(
                session_id=self._id,
                voice=self._voice.name,
                response_format=_format_of(options),
                sample_rate=self._runtime.checkpoint.sample_rate,
                ignored_fields=ignored_fields(options),
            )
        )

    async def _take_text(self, text: str) -> None:
        if self._options is None:
            raise _out_of_order("text.delta", "'session.start' comes first")
        utterance = self._utterances[-1] if self._utterances else None
        if utterance is not None and utterance.has_all_text:
            utterance = None
        num_chars = len(text) + (utterance.stream.num_chars if utterance else 0)
        limit = self._runtime.settings.tts_max_input_chars or _MAX_UNLIMITED_CHARS
        if num_chars > limit:
            # What has come is spoken; with what comes next it would have a hole.
            self._is_dropping_text = True
            if utterance is not None:
                await self._end_text(utterance)
            raise too_long(num_chars, limit, param="text")
        utterance = utterance or self._add_utterance()
        for start in range(0, len(text), _SLICE_CHARS):
            part = text[start : start + _SLICE_CHARS]
            utterance.put(await self._run_text(partial(utterance.stream.feed, part)))

    async def _end_text(self, utterance: Utterance) -> None:
        # First, because the utterance may fail meanwhile: no more of its text is to be dropped.
        utterance.has_all_text = True
        utterance.put(await self._run_text(utterance.stream.flush))
        utterance.end()

    def _add_utterance(self) -> Utterance:
        if len(self._utterances) > MAX_WAITING_UTTERANCES:
            # The rest of its text must not become an utterance once there is room again.
            self._is_dropping_text = True
            raise RequestError(
                f"{MAX_WAITING_UTTERANCES} utterances are waiting to be spoken; wait for an "
                "'audio.done'.",
                param="type",
                code="too_many_utterances",
            )
        tags = self._runtime.checkpoint.tags_of(self._voice)
        stream = self._synthesizer.open_text_stream(tags=tags)
        utterance = Utterance(self._num_utterances, stream)
        self._utterances.append(utterance)
        self._num_utterances += 1
        self._has_utterance.set()
        return utterance

    def _open_utterance(self, event: str) -> Utterance:
        if not self._utterances or self._utterances[-1].has_all_text:
            raise _out_of_order(event, "there is no text before it")
        return self._utterances[-1]

    async def _run_text(self, function: Callable[[], list[str]]) -> list[str]:
        return await self._synthesizer.run_text(function)

    async def _cancel(self) -> None:
        assert self._speaker is not None
        await cancel_all([self._speaker])
        utterances, self._utterances = self._utterances, []
        self._has_utterance.clear()
        self._is_dropping_text = False
        self._speaker = asyncio.create_task(self._speak_all())
        for utterance in utterances:
            await self._send(_done(utterance, is_cancelled=True))

    async def _speak_all(self) -> None:
        try:
            while True:
                await self._has_utterance.wait()
                await self._speak(self._utterances[0])
                del self._utterances[0]
                if not self._utterances:
                    self._has_utterance.clear()
        except WebSocketDisconnect:
            pass  # the reader is told too
        except Exception:  # a task's edge: a bug of ours must not leave a session without sound
            await self._break_off()

    async def _break_off(self) -> None:
        logger.exception("session=%s failed unexpectedly", self._id)
        # A socket that was closed meanwhile says so by either.
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close(_INTERNAL_ERROR)

    async def _speak(self, utterance: Utterance) -> None:
        assert self._options is not None
        options = self._options
        job = SpeechJob(
            request_id=f"{self._id}-{utterance.index}",
            texts=utterance.texts(),
            voice=self._voice,
            sampling=resolve_sampling(options, self._runtime.default_sampling),
            seed=options.seed,
            speed=1.0 if options.speed is None else options.speed,
            response_format=_format_of(options),
        )
        try:
            await self._play(utterance, job)
        except OrpheusError as error:
            logger.warning("request=%s failed: %s", job.request_id, error)
            if not utterance.has_all_text:
                # The rest of its text must not be taken for the next utterance.
                utterance.has_all_text = self._is_dropping_text = True
            await self._send(ErrorEvent(utterance=utterance.index, error=error_body(error)))
            return
        stats = utterance.stats
        logger.info(
            "request=%s outcome=done voice=%s format=%s chunks=%d attempts=%d degraded=%d "
            "tokens=%d samples=%d",
            job.request_id,
            job.voice.name,
            job.response_format,
            stats.num_chunks,
            stats.num_attempts,
            len(stats.degraded_chunks),
            stats.num_output_tokens,
            stats.num_samples,
        )
        await self._send(_done(utterance, is_cancelled=False))

    async def _play(self, utterance: Utterance, job: SpeechJob) -> None:
        chunk = None
        pacer = Pacer(self._runtime.synthesizer.sample_rate)
        async with aclosing(self._runtime.synthesizer.stream(job, utterance.stats)) as pieces:
            async for piece in pieces:
                await pacer.wait_for(piece.start_sample)
                if piece.chunk is not None and piece.text is not None and piece.chunk != chunk:
                    if chunk is None:
                        await self._send(AudioStart(utterance=utterance.index))
                    chunk = piece.chunk
                    await self._send(
                        ChunkStart(
                            utterance=utterance.index,
                            chunk=chunk,
                            text=piece.text,
                            start_sample=piece.start_sample,
                        )
                    )
                if piece.data and chunk is not None:
                    self._check_connected()
                    await self._socket.send_bytes(piece.data)

    async def _send(self, event: ServerEvent) -> None:
        self._check_connected()
        await self._socket.send_text(event.model_dump_json())

    def _check_connected(self) -> None:
        # Two tasks send, and only the first of them to do so is told that the caller is gone.
        if self._socket.application_state is WebSocketState.DISCONNECTED:
            raise WebSocketDisconnect(_ABNORMAL_CLOSURE)


def _parse(text: str | None) -> Any:
    if text is None:
        raise RequestError(
            "Binary messages are not for the server: send events as JSON text.",
            param=None,
            code="invalid_event",
        )
    try:
        return CLIENT_EVENT.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        # Behind the type of the event stands the field, then what is inside of it.
        field = next(iter(problem["loc"][1:2]), None)
        place = "The message is no event of this protocol" if field is None else repr(field)
        raise RequestError(
            f"{place}: {problem['msg'][:_MAX_PROBLEM_CHARS]}.",
            param=None if field is None else str(field),
            code="invalid_event",
        ) from error


def _out_of_order(event: str, reason: str) -> RequestError:
    return RequestError(
        f"{event!r} is out of order: {reason}.", param="type", code="event_out_of_order"
    )


def _format_of(options: SessionStart) -> str:
    return options.response_format or "pcm"


def _done(utterance: Utterance, *, is_cancelled: bool) -> AudioDone:
    stats = utterance.stats
    return AudioDone(
        utterance=utterance.index,
        usage=usage_of(stats),
        num_samples=stats.num_samples,
        degraded_chunks=stats.degraded_chunks,
        is_cancelled=is_cancelled,
    )

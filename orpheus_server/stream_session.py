"""One WebSocket session: text comes in as it is written, sound goes out as it is made."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import WebSocket
from pydantic import BaseModel, ValidationError
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect, WebSocketState

from orpheus_server.checkpoint import Voice
from orpheus_server.errors import OrpheusError, RequestError, ShuttingDown
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
from orpheus_server.synthesizer import AudioPiece, SpeechJob
from orpheus_server.tasks import cancel_all
from orpheus_server.time_limit import pieces_within
from orpheus_server.utterance import Utterance

logger = logging.getLogger(__name__)

MAX_WAITING_UTTERANCES = 8
"""Utterances whose text has come and whose turn has not: their text is all that they hold."""

_MAX_UNLIMITED_CHARS = 1_000_000
"""Longest text of an utterance where the setting allows any: it is kept until it is spoken."""

_SLICE_CHARS = 500
"""Text that is cut in one go: its phonemes take some 20 ms of a worker, and are then spoken."""

_MAX_PROBLEM_CHARS = 200
"""An unknown type is told back to its sender, but not a megabyte of it."""

# RFC 6455, section 7.4.1
_NORMAL_CLOSURE, _GOING_AWAY, _ABNORMAL_CLOSURE, _INTERNAL_ERROR = 1000, 1001, 1006, 1011

_ROUTE = "/v1/audio/stream"


@dataclass(frozen=True, slots=True)
class _End:
    """Why a session has to end, and the code that it is closed with."""

    error: OrpheusError
    code: int


class StreamSession:
    """Reads events, speaks one utterance after the other, and tells what it does.

    After `tts_max_session_sec`, and when the server stops, the utterance that is being spoken gets
    no more text and comes to its end, or is cancelled; those that wait are dropped. Then an error
    with the code `session_expired` or `shutting_down`, and the connection is closed with 1000 (the
    session has ended in order) or 1001.

    Raises `EngineUnavailable` when it is made and nobody can be served.
    """

    def __init__(self, socket: WebSocket, runtime: Runtime, session_id: str, caller: str) -> None:
        self._socket = socket
        self._runtime = runtime
        # Text is cut even when the engine is lost, so that each utterance comes to its end.
        self._synthesizer = runtime.synthesizer
        self._id = session_id
        self._caller = caller
        self._options: SessionStart | None = None
        self._voice: Voice = runtime.checkpoint.default_voice
        self._num_utterances = 0
        self._utterances: list[Utterance] = []
        self._has_utterance = asyncio.Event()
        self._is_dropping_text = False
        self._end: _End | None = None
        self._speaker: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the caller leaves; afterwards nothing of it is left in the engine."""
        self._speaker = asyncio.create_task(self._speak_all())
        ending = asyncio.create_task(self._wait_for_end())
        try:
            while True:
                message = await self._receive(ending)
                if message is None:
                    await self._begin_end(ending.result())
                    continue
                if message["type"] == "websocket.disconnect" or self._speaker.done():
                    return
                await self._answer(message.get("text"))
        except WebSocketDisconnect:
            pass  # found out by sending
        except Exception:  # the session's edge: the log has its id, the caller a reason
            await cancel_all([self._speaker])
            await self._break_off()
        finally:
            if self._utterances:
                self._runtime.metrics.count_disconnect(_ROUTE)
            await cancel_all([self._speaker, ending])
            logger.info("session=%s ended utterances=%d", self._id, self._num_utterances)

    async def _wait_for_end(self) -> _End:
        limit_sec = self._runtime.settings.tts_max_session_sec
        try:
            async with asyncio.timeout(limit_sec):
                await self._runtime.draining.wait()
        except TimeoutError:
            return _End(_session_expired(limit_sec), _NORMAL_CLOSURE)
        return _End(ShuttingDown("The server is stopping; open another session."), _GOING_AWAY)

    async def _receive(self, ending: "asyncio.Task[_End]") -> Message | None:
        """The next message, or None once, when the session has to end."""
        if self._end is not None:
            return await self._socket.receive()
        # A caller whose messages are all there already never lets the end come.
        if ending.done():
            return None
        receiving = asyncio.create_task(self._socket.receive())
        try:
            await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else None
        finally:
            await cancel_all([receiving])

    async def _begin_end(self, end: _End) -> None:
        self._end = end
        del self._utterances[1:]
        if self._utterances and not self._utterances[0].has_all_text:
            await self._end_text(self._utterances[0])
        self._has_utterance.set()

    async def _answer(self, text: str | None) -> None:
        try:
            await self._handle(_parse(text))
        except OrpheusError as error:
            await self._send(ErrorEvent(error=error_body(error)))

    async def _handle(self, event: BaseModel) -> None:
        match event:
            case Cancel():
                await self._cancel()
            case _ if self._end is not None:
                pass
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
        if self._end is not None and not self._utterances:
            return
        await cancel_all([self._speaker])
        utterances, self._utterances = self._utterances, []
        self._has_utterance.clear()
        self._is_dropping_text = False
        self._speaker = asyncio.create_task(self._speak_all())
        for utterance in utterances:
            await self._send(_done(utterance, is_cancelled=True))
        if self._end is not None:
            self._has_utterance.set()

    async def _speak_all(self) -> None:
        try:
            while True:
                await self._has_utterance.wait()
                if self._utterances:
                    await self._speak(self._utterances[0])
                    del self._utterances[0]
                if self._end is not None:
                    return await self._close(self._end)
                if not self._utterances:
                    self._has_utterance.clear()
        except WebSocketDisconnect:
            pass  # the reader is told too
        except Exception:  # a task's edge: a bug of ours must not leave a session without sound
            await self._break_off()

    async def _close(self, end: _End) -> None:
        await self._send(ErrorEvent(error=error_body(end.error)))
        await self._socket.close(end.code)

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
        outcome = "cancelled"
        try:
            await self._play(utterance, job)
            outcome = "done"
        except OrpheusError as error:
            outcome = "failed"
            logger.warning("request=%s failed: %s", job.request_id, error)
            if not utterance.has_all_text:
                # The rest of its text must not be taken for the next utterance.
                utterance.has_all_text = self._is_dropping_text = True
            await self._send(ErrorEvent(utterance=utterance.index, error=error_body(error)))
            return
        finally:
            self._runtime.metrics.count_utterance(_ROUTE, outcome)
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
        limit_sec = self._runtime.settings.tts_request_timeout_sec
        with self._runtime.admission.open_turn(self._caller, "interactive") as turn:
            made = self._runtime.synthesizer.stream(job, utterance.stats, turn)
            # Time that the server waits for text is its writer's.
            pieces = pieces_within(limit_sec, made, counts=lambda: utterance.has_all_text)
            async with aclosing(pieces):
                await self._send_pieces(utterance, pieces)

    async def _send_pieces(
        self, utterance: Utterance, pieces: AsyncGenerator[AudioPiece, None]
    ) -> None:
        chunk = None
        pacer = Pacer(self._synthesizer.sample_rate)
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


def _session_expired(limit_sec: float) -> RequestError:
    return RequestError(
        f"A session lasts {limit_sec:g} seconds here; open another one.",
        param=None,
        code="session_expired",
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

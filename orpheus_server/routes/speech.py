"""`POST /v1/audio/speech`."""

import base64
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from orpheus_server.api_document import COUNT_HEADERS, HEADERS, SPEECH_RESPONSES
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.concurrency import pieces_within, within
from orpheus_server.errors import EngineUnavailable, OrpheusError, RateLimited, RequestError
from orpheus_server.routes.dependencies import Caller, CurrentRuntime, RequestId
from orpheus_server.routes.speech_options import (
    check_options,
    ignored_fields,
    resolve_sampling,
    too_long,
)
from orpheus_server.runtime.state import Runtime
from orpheus_server.schemas import SpeechRequest
from orpheus_server.server.errors import ErrorResponse, error_body
from orpheus_server.server.responses import LiveResponse, Outcome, WholeResponse, until_disconnect
from orpheus_server.stream_events import SpeechAudioDelta, SpeechAudioDone, usage_of
from orpheus_server.synthesis.admission import Turn
from orpheus_server.synthesis.fair_queue import Lane
from orpheus_server.synthesis.job import SpeechJob, SpeechStats
from orpheus_server.text.chunking import SpeechPlan

logger = logging.getLogger(__name__)
router = APIRouter(tags=["speech"])

_ROUTE = "/v1/audio/speech"
_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a caller who has left; nobody reads it."""


@router.post(
    "/audio/speech",
    response_class=Response,
    responses={
        200: {
            "description": "The answer, as one file or as it is made",
            "content": {
                **{form.media_type: {} for form in FORMATS.values()},
                "text/event-stream": {},
            },
            "headers": {**HEADERS, **COUNT_HEADERS},
        },
        **SPEECH_RESPONSES,
    },
)
async def create_speech(
    body: SpeechRequest,
    request: Request,
    runtime: CurrentRuntime,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Speaks the input."""
    started = time.perf_counter()
    is_sse = body.stream_format == "sse"
    # HTTP/1.0 cannot tell the end of a body from a connection that was cut; events tell it.
    is_streamed = _is_streamed(body, runtime) and (is_sse or request.scope["http_version"] != "1.0")
    lane: Lane = "interactive" if is_streamed else "bulk"
    voice = check_request(body, runtime)
    opened = ExitStack()
    # Before any work on its text: a caller who must come back later learns it at once.
    turn = opened.enter_context(runtime.admission.open_turn(caller, lane, is_coming=True))
    try:
        plan, job = await plan_job(body, voice, runtime, request_id)
    except BaseException:
        opened.close()
        raise
    answer = _Answer(job, runtime, caller, turn, opened, started)
    if not is_streamed:
        data = await until_disconnect(request.receive, answer.whole())
        if data is None:
            answer.end("caller left")
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        return WholeResponse(
            data,
            media_type=FORMATS[job.response_format].media_type,
            headers=_ignored_fields(body) | answer.headers(plan),
            on_end=answer.end,
        )

    pieces = answer.events() if is_sse else answer.pieces()
    # Until the first bytes are there a failure has a status of its own.
    first = await until_disconnect(request.receive, _next(pieces))
    if first is None:
        answer.end("caller left")
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return LiveResponse(
        first,
        pieces,
        media_type="text/event-stream" if is_sse else FORMATS[job.response_format].media_type,
        headers=_ignored_fields(body) | answer.headers(plan),
        on_end=answer.end,
    )


def check_request(body: SpeechRequest, runtime: Runtime) -> Voice:
    """The voice; raises `RequestError` for what can be told without looking at the text."""
    voice = check_options(body, runtime)
    limit = runtime.settings.tts_max_input_chars
    if limit and len(body.input) > limit:
        raise too_long(len(body.input), limit, param="input")
    return voice


async def plan_job(
    body: SpeechRequest, voice: Voice, runtime: Runtime, request_id: str
) -> tuple[SpeechPlan, SpeechJob]:
    """Everything else that can be wrong with a request is found here, before any generation."""
    synthesizer = runtime.synthesizer
    plan = await synthesizer.plan(body.input, tags=runtime.checkpoint.tags_of(voice))
    return plan, SpeechJob(
        request_id=request_id,
        texts=synthesizer.texts_of(plan),
        voice=voice,
        sampling=resolve_sampling(body, runtime.default_sampling),
        seed=body.seed,
        speed=1.0 if body.speed is None else body.speed,
        response_format=_response_format(body, runtime),
    )


def _response_format(body: SpeechRequest, runtime: Runtime) -> str:
    return body.response_format or runtime.settings.tts_default_response_format


def _is_streamed(body: SpeechRequest, runtime: Runtime) -> bool:
    if body.stream_format == "sse":
        if body.stream is False:
            raise RequestError(
                "Events are a stream: leave 'stream' out, or 'stream_format'.",
                param="stream_format",
                code="unsupported_value",
            )
        return True
    form = FORMATS.get(_response_format(body, runtime))
    default = form is not None and form.streams_by_default
    return default if body.stream is None else body.stream


@dataclass(slots=True)
class _Answer:
    """An answer while it is made, and the one line that the log tells of it."""

    job: SpeechJob
    runtime: Runtime
    caller: str
    turn: Turn
    opened: ExitStack
    """Holds the turn until the answer has been sent: what nobody fetches is in memory so long."""

    started: float
    stats: SpeechStats = field(default_factory=SpeechStats)
    _first_sec: float = field(default=0.0, init=False)
    _is_ended: bool = field(default=False, init=False)

    async def whole(self) -> bytes:
        """The answer as one file."""
        try:
            await self.turn.wait()
            work = self.runtime.synthesizer.collect(self.job, self.stats, self.turn)
            data = await within(self._limit_sec, work)
        except OrpheusError as error:
            self._fail(error)
            raise
        except BaseException:
            self.opened.close()
            raise
        self._first_sec = time.perf_counter() - self.started
        return data

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its bytes as they are made."""
        try:
            # Before the clock of the answer starts.
            await self.turn.wait()
            made = self.runtime.synthesizer.stream(self.job, self.stats, self.turn)
            async with aclosing(pieces_within(self._limit_sec, made)) as pieces:
                async for piece in pieces:
                    if piece.data:
                        self._first_sec = self._first_sec or time.perf_counter() - self.started
                        yield piece.data
        except OrpheusError as error:
            self._fail(error)
            raise
        except BaseException:
            self.opened.close()
            raise

    @property
    def _queue_sec(self) -> float:
        return self.turn.waited_sec

    @property
    def _limit_sec(self) -> float:
        return self.runtime.settings.tts_request_timeout_sec

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The same in server-sent events; a failure after the first one is an event too."""
        has_begun = False
        try:
            async with aclosing(self.pieces()) as pieces:
                async for data in pieces:
                    yield _event(SpeechAudioDelta(audio=base64.b64encode(data).decode()))
                    has_begun = True
        except OrpheusError as error:
            if not has_begun:
                raise
            yield _event(ErrorResponse(error=error_body(error)))
            return
        usage, degraded_chunks = usage_of(self.stats), self.stats.degraded_chunks
        yield _event(SpeechAudioDone(usage=usage, degraded_chunks=degraded_chunks))

    def headers(self, plan: SpeechPlan) -> dict[str, str]:
        """What is known by now: all of it for a file, what the text alone tells for a stream."""
        stats = self.stats
        counts = {
            "x-orpheus-degraded-chunks": len(stats.degraded_chunks),
            "x-orpheus-dropped-symbols": stats.num_dropped_symbols + plan.num_dropped_symbols,
            "x-orpheus-dropped-tags": plan.num_dropped_tags,
        }
        told = {name: str(count) for name, count in counts.items() if count}
        return {"x-orpheus-queue-ms": str(round(self._queue_sec * 1000)), **told}

    def end(self, outcome: Outcome) -> None:
        """Logs the line; a failure has done so by itself."""
        if self._is_ended:
            return
        self._is_ended = True
        self.opened.close()
        metrics = self.runtime.metrics
        metrics.count_utterance(_ROUTE, outcome)
        if outcome == "caller left":
            metrics.count_disconnect(_ROUTE)
        job, stats = self.job, self.stats
        elapsed_sec = time.perf_counter() - self.started
        audio_sec = stats.num_samples / self.runtime.checkpoint.sample_rate
        logger.info(
            "request=%s caller=%s outcome=%s voice=%s format=%s chunks=%d attempts=%d degraded=%d "
            "tokens=%d audio_sec=%.2f queue_sec=%.3f first_bytes_sec=%.3f total_sec=%.2f rtf=%.3f",
            job.request_id,
            self.caller,
            outcome.replace(" ", "_"),
            job.voice.name,
            job.response_format,
            stats.num_chunks,
            stats.num_attempts,
            len(stats.degraded_chunks),
            stats.num_output_tokens,
            audio_sec,
            self._queue_sec,
            self._first_sec,
            elapsed_sec,
            elapsed_sec / audio_sec if audio_sec else 0.0,
        )

    def _fail(self, error: OrpheusError) -> None:
        # Nothing is wrong with a server that is full.
        is_refusal = isinstance(error, EngineUnavailable | RateLimited)
        level = logging.INFO if is_refusal else logging.WARNING
        logger.log(level, "request=%s failed: %s", self.job.request_id, error)
        self.end("failed")


def _event(content: BaseModel) -> bytes:
    return f"data: {content.model_dump_json()}\n\n".encode()


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces, b"")


def _ignored_fields(body: SpeechRequest) -> dict[str, str]:
    names = ["instructions"] if body.instructions else []
    names += ignored_fields(body)
    return {"x-orpheus-ignored-fields": ", ".join(names)} if names else {}

"""`POST /v1/audio/speech`."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from orpheus_server.checkpoint import Checkpoint, Voice
from orpheus_server.encoders import FORMATS
from orpheus_server.errors import RequestError
from orpheus_server.routes.dependencies import CurrentRuntime, RequestId
from orpheus_server.routes.models import check_model
from orpheus_server.runtime import Runtime
from orpheus_server.sampling import SamplingOptions
from orpheus_server.schemas import ErrorResponse, SpeechRequest, VoiceReference
from orpheus_server.synthesizer import SpeechJob, SpeechStats
from orpheus_server.tasks import cancel_all

logger = logging.getLogger(__name__)
router = APIRouter(tags=["speech"])

T = TypeVar("T")

_MAX_NAMED_FIELDS = 10
_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a caller who has left; nobody reads it."""


@router.post(
    "/audio/speech",
    response_class=Response,
    responses={
        200: {
            "description": "The whole answer as one file",
            "content": {form.media_type: {} for form in FORMATS.values()},
        },
        404: {"model": ErrorResponse, "description": "Unknown model"},
        413: {"model": ErrorResponse, "description": "The body is too large"},
        415: {"model": ErrorResponse, "description": "The body is not JSON"},
    },
)
async def create_speech(
    body: SpeechRequest, request: Request, runtime: CurrentRuntime, request_id: RequestId
) -> Response:
    """Speaks the input."""
    started = time.perf_counter()
    job = await plan_job(body, runtime, request_id)
    speech = await until_disconnect(request, runtime.synthesizer.collect(job))
    if speech is None:
        logger.info("request=%s caller left", request_id)
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    _log(request_id, job, speech.stats, time.perf_counter() - started)
    return Response(
        speech.data,
        media_type=FORMATS[job.response_format].media_type,
        headers=_headers(body, job, speech.stats),
    )


async def plan_job(body: SpeechRequest, runtime: Runtime, request_id: str) -> SpeechJob:
    """Everything that can be wrong with a request is found here, before any generation."""
    settings, checkpoint = runtime.settings, runtime.checkpoint
    if body.model is not None:
        check_model(body.model, checkpoint)
    voice = _resolve_voice(body.voice, checkpoint)
    response_format = body.response_format
    if response_format is None:
        response_format = settings.tts_default_response_format
    _check_format(response_format)
    _check_streaming(body)
    limit = settings.tts_max_input_chars
    if limit and len(body.input) > limit:
        raise RequestError(
            f"The input has {len(body.input)} characters; at most {limit} are allowed.",
            param="input",
            code="string_above_max_length",
        )
    plan = await runtime.synthesizer.plan(body.input, tags=checkpoint.tags_of(voice))
    return SpeechJob(
        request_id=request_id,
        plan=plan,
        voice=voice,
        sampling=_resolve_sampling(body, runtime.default_sampling),
        seed=body.seed,
        speed=1.0 if body.speed is None else body.speed,
        response_format=response_format,
    )


def _resolve_voice(asked: str | VoiceReference | None, checkpoint: Checkpoint) -> Voice:
    if asked is None:
        return checkpoint.default_voice
    name = asked if isinstance(asked, str) else asked.id
    voice = checkpoint.find_voice(name)
    if voice is None:
        known = ", ".join(voice.name for voice in checkpoint.voices if voice.is_listed)
        raise RequestError(
            f"The voice {name[:60]!r} is not known. Known are: {known}; and as aliases: "
            f"{', '.join(checkpoint.voice_aliases) or 'none'}.",
            param="voice",
            code="voice_not_found",
        )
    return voice


def _check_format(name: str) -> None:
    if name not in FORMATS:
        raise RequestError(
            f"The response_format {name[:60]!r} is not supported. Supported are: "
            f"{', '.join(FORMATS)}.",
            param="response_format",
            code="unsupported_response_format",
        )


def _check_streaming(body: SpeechRequest) -> None:
    for param, is_asked in (
        ("stream", body.stream),
        ("stream_format", body.stream_format == "sse"),
    ):
        if is_asked:
            raise RequestError(
                f"This version answers with whole files only; leave {param!r} out to get one.",
                param=param,
                code="unsupported_value",
            )


def _resolve_sampling(body: SpeechRequest, default: SamplingOptions) -> SamplingOptions:
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")
    asked = {name: getattr(body, name) for name in names}
    return replace(default, **{name: value for name, value in asked.items() if value is not None})


def _headers(body: SpeechRequest, job: SpeechJob, stats: SpeechStats) -> dict[str, str]:
    headers = {}
    ignored = list(body.model_extra or {})[:_MAX_NAMED_FIELDS]
    if body.instructions:
        ignored.insert(0, "instructions")
    names = [name[:40] for name in ignored if name.isascii() and name.isidentifier()]
    if names:
        headers["x-orpheus-ignored-fields"] = ", ".join(names)
    counts = {
        "x-orpheus-degraded-chunks": stats.num_degraded_chunks,
        "x-orpheus-dropped-symbols": stats.num_dropped_symbols + job.plan.num_dropped_symbols,
        "x-orpheus-dropped-tags": job.plan.num_dropped_tags,
    }
    headers |= {name: str(count) for name, count in counts.items() if count}
    return headers


def _log(request_id: str, job: SpeechJob, stats: SpeechStats, elapsed_sec: float) -> None:
    logger.info(
        "request=%s voice=%s chunks=%d attempts=%d degraded=%d tokens=%d audio_sec=%.2f "
        "total_sec=%.2f rtf=%.3f",
        request_id,
        job.voice.name,
        stats.num_chunks,
        stats.num_attempts,
        stats.num_degraded_chunks,
        stats.num_output_tokens,
        stats.audio_sec,
        elapsed_sec,
        elapsed_sec / stats.audio_sec if stats.audio_sec else 0.0,
    )


async def until_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result, or None if the caller left first, in which case the work has been cancelled.

    Neither FastAPI nor uvicorn cancels a handler that has not begun to answer.
    """
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await cancel_all((task, watcher))


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

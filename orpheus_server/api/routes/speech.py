"""`POST /v1/audio/speech`."""

import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack

from fastapi import APIRouter, Request, Response

from orpheus_server.api.answers.speech import SpeechAnswer
from orpheus_server.api.openapi import COUNT_HEADERS, HEADERS, SPEECH_RESPONSES
from orpheus_server.api.requests.speech import (
    check_request,
    ignored_fields_header,
    plan_job,
    wants_stream,
)
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.schemas.speech import SpeechRequest
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.server.responses import BufferedResponse, StreamedResponse, until_disconnect
from orpheus_server.synthesis.fair_queue import Lane

router = APIRouter(tags=["speech"])

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
    services: Services,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Speaks the input."""
    started = time.perf_counter()
    is_sse = body.stream_format == "sse"
    # HTTP/1.0 cannot tell the end of a body from a connection that was cut; events tell it.
    is_streamed = wants_stream(body, services) and (
        is_sse or request.scope["http_version"] != "1.0"
    )
    lane: Lane = "interactive" if is_streamed else "bulk"
    voice = check_request(body, services)
    opened = ExitStack()
    # Before any work on its text: a caller who must come back later learns it at once.
    slot = opened.enter_context(services.admission.reserve(caller, lane, is_coming=True))
    try:
        plan, job = await plan_job(body, voice, services, request_id)
    except BaseException:
        opened.close()
        raise
    answer = SpeechAnswer(job, services, caller, slot, opened, started)
    if not is_streamed:
        data = await until_disconnect(request.receive, answer.whole())
        if data is None:
            answer.end("caller left")
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        return BufferedResponse(
            data,
            media_type=FORMATS[job.params.response_format].media_type,
            headers=ignored_fields_header(body) | answer.headers(plan),
            on_end=answer.end,
        )

    pieces = answer.events() if is_sse else answer.pieces()
    # Until the first bytes are there a failure has a status of its own.
    first = await until_disconnect(request.receive, _next(pieces))
    if first is None:
        answer.end("caller left")
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return StreamedResponse(
        first,
        pieces,
        media_type="text/event-stream"
        if is_sse
        else FORMATS[job.params.response_format].media_type,
        headers=ignored_fields_header(body) | answer.headers(plan),
        on_end=answer.end,
    )


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces, b"")

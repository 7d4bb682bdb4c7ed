"""`POST /v1/audio/speech`."""

from fastapi import APIRouter, Request, Response

from orpheus_server.api.answers.speech import open_speech_answer
from orpheus_server.api.openapi import COUNT_HEADERS, HEADERS, SPEECH_RESPONSES
from orpheus_server.api.requests.speech import check_request, wants_stream
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.routes.loading import until_loaded
from orpheus_server.api.schemas.speech import SpeechRequest
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.server.responses import respond, unsent_response

router = APIRouter(tags=["speech"])


@router.post(
    "/audio/speech",
    response_class=Response,
    responses={
        200: {
            "description": "The speech, as one file or streamed",
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
    """Returns the input as speech."""
    is_sse = body.stream_format == "sse"
    # HTTP/1.0 cannot tell a complete body from a cut connection; events mark their own end.
    is_streamed = wants_stream(body, request.headers, services) and (
        is_sse or request.scope["http_version"] != "1.0"
    )
    voice = check_request(body, services)
    waited_sec = await until_loaded(request, services, caller, services.synthesizer)
    if waited_sec is None:
        return unsent_response()
    answer = await open_speech_answer(
        body,
        voice,
        services,
        request_id,
        caller,
        lane="interactive" if is_streamed else "bulk",
        waited_sec=waited_sec,
    )
    pieces = answer.events() if is_sse else answer.pieces()
    media_type = FORMATS[answer.job.params.response_format].media_type
    return await respond(
        request,
        whole=answer.whole,
        pieces=pieces if is_streamed else None,
        is_complete=lambda: answer.is_file and not is_sse,
        media_type="text/event-stream" if is_sse else media_type,
        headers=answer.headers,
        on_end=answer.end,
    )

"""`/tts`, the route of earlier Orpheus servers."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from orpheus_server.api.openapi import COUNT_HEADERS, HEADERS, SPEECH_RESPONSES
from orpheus_server.api.requests.speech import ignored_fields, param_named
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.routes.speech import create_speech
from orpheus_server.api.schemas.speech import PromptQuery, PromptRequest, SpeechRequest
from orpheus_server.errors import OriginNotAllowed
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.origins import ORIGIN_NOT_LISTED, normal_origin, parse_origins

router = APIRouter(tags=["speech"])

_RESPONSES = {
    200: {
        "description": "A streamed WAV",
        "content": {"audio/wav": {}},
        "headers": {**HEADERS, **COUNT_HEADERS},
    },
    **SPEECH_RESPONSES,
}


@router.post("/tts", response_class=Response, responses=_RESPONSES)
async def speak_prompt(
    body: PromptRequest,
    request: Request,
    services: Services,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Returns the prompt as speech."""
    return await _speak(body, request, services, request_id, caller)


@router.get("/tts", response_class=Response, responses=_RESPONSES)
async def speak_prompt_of_query(
    query: Annotated[PromptQuery, Query()],
    request: Request,
    services: Services,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Returns the prompt in the query as speech."""
    check_page(request, services)
    return await _speak(query, request, services, request_id, caller)


def check_page(request: Request, services: SpeechServices) -> None:
    """Raises `OriginNotAllowed` for a request from a web page whose origin is not allowed.

    Any page can make a browser fetch a URL, for instance as an image, without a preflight request.
    Browsers report where such a request comes from (https://www.w3.org/TR/fetch-metadata/): over
    plain HTTP only to addresses of the local machine, to others at most the origin.
    """
    unknown = "cross-site" if "origin" in request.headers else "none"
    if request.headers.get("sec-fetch-site", unknown) in ("none", "same-origin"):
        return
    listed = services.settings.cors_origins
    origin = normal_origin(request.headers.get("origin", ""))
    if listed is None or origin is None or origin not in parse_origins(listed):
        raise OriginNotAllowed(ORIGIN_NOT_LISTED)


async def _speak(
    body: PromptRequest, request: Request, services: SpeechServices, request_id: str, caller: str
) -> Response:
    speech = SpeechRequest(
        input=body.prompt,
        voice=body.voice,
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_tokens,
        repetition_penalty=body.repetition_penalty,
        markup=body.markup,
        normalize=body.normalize,
        response_format="wav",
        stream=True,
    )
    with param_named("prompt", instead_of="input"):
        response = await create_speech(speech, request, services, request_id, caller)
    header = "x-orpheus-ignored-fields"
    ignored = [response.headers.get(header, ""), *ignored_fields(body)]
    if any(ignored):
        response.headers[header] = ", ".join(filter(None, ignored))
    return response

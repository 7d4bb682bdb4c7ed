"""`POST /v1/chat/completions`."""

from fastapi import APIRouter, Request, Response

from orpheus_server.api.answers.completion import CompletionAnswer
from orpheus_server.api.openapi import CHAT_RESPONSES, COMPLETION_HEADERS, HEADERS
from orpheus_server.api.requests.completion import parse_completion_request
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.routes.loading import until_loaded
from orpheus_server.api.schemas.completion_request import CompletionRequest
from orpheus_server.api.schemas.completion_response import Completion
from orpheus_server.server.responses import respond, unsent_response

router = APIRouter(tags=["chat"])


@router.post(
    "/chat/completions",
    response_class=Response,
    responses={
        200: {
            "description": "The answer, or server-sent events if `stream` is true",
            "model": Completion,
            "content": {"text/event-stream": {}},
            "headers": {**HEADERS, **COMPLETION_HEADERS},
        },
        **CHAT_RESPONSES,
    },
)
async def create_chat_completion(
    body: CompletionRequest,
    request: Request,
    services: Services,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Answers the last message, and speaks the answer if `modalities` includes audio."""
    if services.chat_info() is None:
        # Raises. Before the model name is checked, because without a model no name is valid.
        services.chat_model()
    params = parse_completion_request(body, services, caller)
    voice = () if params.speech is None else (services.synthesizer,)
    waited_sec = await until_loaded(request, services, caller, services.chat_model, *voice)
    if waited_sec is None:
        return unsent_response()
    answer = CompletionAnswer(params, services, request_id, caller, waited_sec=waited_sec)
    return await respond(
        request,
        whole=answer.whole,
        pieces=answer.events() if params.is_streamed else None,
        media_type="text/event-stream" if params.is_streamed else "application/json",
        headers=answer.headers,
        on_end=answer.end,
    )

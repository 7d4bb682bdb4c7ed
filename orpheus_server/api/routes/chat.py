"""`POST /v1/chat`: a message in, the language model's spoken answer out."""

from fastapi import APIRouter, Request, Response

from orpheus_server.api.answers.chat import ChatAnswer
from orpheus_server.api.openapi import CHAT_HEADERS, CHAT_RESPONSES, HEADERS
from orpheus_server.api.requests.chat import check_request
from orpheus_server.api.requests.speech import param_named
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.routes.loading import until_loaded
from orpheus_server.api.schemas.chat import ChatRequest
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.server.responses import Outcome, respond, unsent_response

router = APIRouter(tags=["chat"])

_TEXT = "text/plain; charset=utf-8"


@router.post(
    "/chat",
    response_class=Response,
    responses={
        200: {
            "description": "The answer, streamed: audio, or text with `stream_text`",
            "content": {
                **{form.media_type: {} for form in FORMATS.values()},
                "text/plain": {},
            },
            "headers": {**HEADERS, **CHAT_HEADERS},
        },
        **CHAT_RESPONSES,
    },
)
async def chat(
    body: ChatRequest,
    request: Request,
    services: Services,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Answers the message and speaks the answer while the language model writes it."""
    params = check_request(body, services)
    voice = () if body.stream_text else (services.synthesizer,)
    waited_sec = await until_loaded(request, services, caller, services.chat_model, *voice)
    if waited_sec is None:
        return unsent_response()
    answer = ChatAnswer(body, params, services, request_id, caller, waited_sec)
    # HTTP/1.0 cannot tell a complete body from a cut connection.
    is_streamed = request.scope["http_version"] != "1.0"
    pieces = answer.text() if body.stream_text else answer.audio()
    with param_named("message", instead_of="messages"):
        return await respond(
            request,
            whole=answer.whole,
            pieces=pieces if is_streamed else None,
            media_type=_TEXT if body.stream_text else FORMATS[params.response_format].media_type,
            headers=answer.headers,
            on_end=_logged_by_the_reply,
        )


def _logged_by_the_reply(outcome: Outcome) -> None:
    """A spoken reply logs its own end."""

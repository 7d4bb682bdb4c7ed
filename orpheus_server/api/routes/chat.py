"""`POST /v1/chat`: a message in, the spoken answer of the language model out."""

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request, Response

from orpheus_server.api.answers.chat import ChatAnswer
from orpheus_server.api.openapi import CHAT_HEADERS, CHAT_RESPONSES, HEADERS
from orpheus_server.api.requests.chat import check_request
from orpheus_server.api.requests.speech import param_named
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.schemas.chat import ChatRequest
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.server.responses import (
    BufferedResponse,
    Outcome,
    StreamedResponse,
    until_disconnect,
)

router = APIRouter(tags=["chat"])

_TEXT = "text/plain; charset=utf-8"
_CLIENT_CLOSED_REQUEST = 499


@router.post(
    "/chat",
    response_class=Response,
    responses={
        200: {
            "description": "The answer as it is made: sound, or with `stream_text` text",
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
    """Answers the message, out loud, while the answer is being written."""
    answer = ChatAnswer(body, check_request(body, services), services, request_id, caller)
    form = FORMATS[answer.params.response_format]
    media_type = _TEXT if body.stream_text else form.media_type
    if request.scope["http_version"] == "1.0":
        # It cannot tell the end of a body from a connection that was cut.
        with param_named("message", instead_of="messages"):
            data = await until_disconnect(request.receive, answer.whole())
        if data is None:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        headers = answer.headers()
        return BufferedResponse(
            data, media_type=media_type, headers=headers, on_end=_logged_by_the_reply
        )
    parts = answer.text() if body.stream_text else answer.audio()
    # Until the first bytes are there a failure has a status of its own.
    with param_named("message", instead_of="messages"):
        first = await until_disconnect(request.receive, _next(parts))
    if first is None:
        await parts.aclose()
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return StreamedResponse(
        first,
        parts,
        media_type=media_type,
        headers=answer.headers(),
        on_end=_logged_by_the_reply,
    )


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(parts, b"")


def _logged_by_the_reply(outcome: Outcome) -> None:
    """The spoken reply has its own line in the log, whichever way it ends."""

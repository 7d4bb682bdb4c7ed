"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack

from fastapi import APIRouter, Request, Response

from orpheus_server.api.answers.completion import CompletionAnswer
from orpheus_server.api.openapi import CHAT_RESPONSES, HEADERS, SPOKEN_REPLY_HEADERS
from orpheus_server.api.requests.completion import parse_completion_request
from orpheus_server.api.routes.dependencies import Caller, RequestId, Services
from orpheus_server.api.schemas.completion_request import CompletionRequest
from orpheus_server.api.schemas.completion_response import Completion
from orpheus_server.server.responses import (
    BufferedResponse,
    Outcome,
    StreamedResponse,
    until_disconnect,
)

router = APIRouter(tags=["chat"])

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a caller who has left; nobody reads it."""


@router.post(
    "/chat/completions",
    response_class=Response,
    responses={
        200: {
            "description": "The answer; with `stream` as events while it is made",
            "model": Completion,
            "content": {"text/event-stream": {}},
            "headers": {**HEADERS, **SPOKEN_REPLY_HEADERS},
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
    """Answers the last message, and speaks the answer if `modalities` asks for it."""
    if services.chat_info() is None:
        # Before names of models are looked at: there are none.
        services.chat_model()
    params = parse_completion_request(body, services, caller)
    opened = ExitStack()
    slot = None
    # Before the model is asked: a caller who must come back later learns it at once.
    if params.speech is None:
        opened.enter_context(services.reply_slots.taken(caller))
    else:
        admission = services.admission
        slot = opened.enter_context(admission.reserve(caller, "interactive", is_coming=True))
    answer = CompletionAnswer(params, services, request_id, caller, slot)

    def end(outcome: Outcome) -> None:
        opened.close()
        answer.end(outcome)

    try:
        if not params.is_streamed:
            data = await until_disconnect(request.receive, answer.whole())
        else:
            events = answer.events()
            # Until there is some text or sound a failure has a status of its own.
            data = await until_disconnect(request.receive, _next(events))
    except BaseException:
        opened.close()
        raise
    if data is None:
        opened.close()
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    headers = answer.headers()
    if not params.is_streamed:
        return BufferedResponse(data, media_type="application/json", headers=headers, on_end=end)
    return StreamedResponse(
        data, events, media_type="text/event-stream", headers=headers, on_end=end
    )


async def _next(events: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(events, b"")

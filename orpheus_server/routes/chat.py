"""`POST /v1/chat`: a message in, the spoken answer of the language model out."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import APIRouter, Request, Response

from orpheus_server.api_document import CHAT_HEADERS, CHAT_RESPONSES, HEADERS
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.chat_schemas import ChatRequest
from orpheus_server.concurrency import pieces_within
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.routes.dependencies import Caller, CurrentRuntime, RequestId
from orpheus_server.routes.models import check_chat_model
from orpheus_server.routes.speech_options import (
    check_format,
    ignored_fields,
    param_named,
    resolve_voice,
    too_long,
)
from orpheus_server.runtime.state import Runtime
from orpheus_server.server.responses import LiveResponse, Outcome, WholeResponse, until_disconnect
from orpheus_server.synthesis.admission import Turn
from orpheus_server.talk import HowToSpeak, Talk, open_talk

router = APIRouter(tags=["chat"])

_ROUTE = "/v1/chat"
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
    runtime: CurrentRuntime,
    request_id: RequestId,
    caller: Caller,
) -> Response:
    """Answers the message, out loud, while the answer is being written."""
    answer = _Answer(body, check_request(body, runtime), runtime, request_id, caller)
    form = FORMATS[answer.how.response_format]
    media_type = _TEXT if body.stream_text else form.media_type
    if request.scope["http_version"] == "1.0":
        # It cannot tell the end of a body from a connection that was cut.
        with param_named("message", instead_of="messages"):
            data = await until_disconnect(request.receive, answer.whole())
        if data is None:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        headers = answer.headers()
        return WholeResponse(
            data, media_type=media_type, headers=headers, on_end=_is_told_by_the_talk
        )
    parts = answer.text() if body.stream_text else answer.sound()
    # Until the first bytes are there a failure has a status of its own.
    with param_named("message", instead_of="messages"):
        first = await until_disconnect(request.receive, _next(parts))
    if first is None:
        await parts.aclose()
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return LiveResponse(
        first,
        parts,
        media_type=media_type,
        headers=answer.headers(),
        on_end=_is_told_by_the_talk,
    )


def check_request(body: ChatRequest, runtime: Runtime) -> HowToSpeak:
    """How the answer is spoken. Raises what can be told without the language model."""
    _ = runtime.chat_model
    if body.model is not None:
        check_chat_model(body.model, runtime)
    voice = resolve_voice(body.voice, runtime.checkpoint)
    check_format(body.response_format)
    if not body.message.strip():
        raise RequestError("'message' is empty.", param="message", code="invalid_value")
    limit = runtime.settings.tts_max_input_chars
    if limit and len(body.message) > limit:
        raise too_long(len(body.message), limit, param="message")
    return HowToSpeak(
        voice=voice,
        sampling=runtime.default_sampling,
        response_format=body.response_format or "wav",
        speed=1.0 if body.speed is None else body.speed,
        seed=body.seed,
    )


@dataclass(slots=True)
class _Answer:
    """An answer while it is made; what it opens, the end of its generator closes."""

    body: ChatRequest
    how: HowToSpeak
    runtime: Runtime
    request_id: str
    caller: str
    _turn: Turn | None = field(default=None, init=False)
    _has_no_sound: bool = field(default=False, init=False)

    @property
    def _messages(self) -> list[ChatMessage]:
        before = [ChatMessage(each.role, each.content) for each in self.body.history]
        return [*before, ChatMessage("user", self.body.message)]

    @property
    def _options(self) -> ReplyOptions:
        body = self.body
        return ReplyOptions(
            temperature=body.temperature,
            top_p=body.top_p,
            max_tokens=body.max_tokens,
            seed=body.seed,
        )

    async def sound(self) -> AsyncGenerator[bytes, None]:
        """The spoken answer, as it is made."""
        async with (
            self._open_talk() as talk,
            aclosing(talk.pieces()) as pieces,
        ):
            async for piece in pieces:
                self._has_no_sound = talk.is_silent and piece.chunk is None
                if piece.data:
                    yield piece.data

    async def text(self) -> AsyncGenerator[bytes, None]:
        """The answer as the language model writes it."""
        limit_sec = self.runtime.settings.tts_request_timeout_sec
        async with (
            self._open_talk() as talk,
            aclosing(pieces_within(limit_sec, talk.reply.deltas())) as deltas,
        ):
            async for text in deltas:
                yield text.encode()

    async def whole(self) -> bytes:
        """All of it in one piece."""
        if self.body.stream_text:
            return b"".join([part async for part in self.text()])
        async with self._open_talk() as talk:
            data = await talk.whole()
            self._has_no_sound = talk.is_silent
            return data

    @asynccontextmanager
    async def _open_talk(self) -> AsyncIterator[Talk]:
        is_text, runtime, turn = self.body.stream_text, self.runtime, None
        with ExitStack() as stack:
            # Before the model is asked: a caller who must come back later learns it at once.
            if is_text:
                stack.enter_context(runtime.reply_slots.taken(self.caller))
            else:
                opened = runtime.admission.open_turn(self.caller, "interactive", is_coming=True)
                self._turn = turn = stack.enter_context(opened)
            async with open_talk(
                runtime,
                self.request_id,
                self._messages,
                self._options,
                how=None if is_text else self.how,
                turn=turn,
                route=_ROUTE,
                caller=self.caller,
                voice=self.how.voice,
            ) as talk:
                yield talk

    def headers(self) -> dict[str, str]:
        """What is known with the first bytes."""
        body = self.body
        # Only sound has them.
        asked = {"response_format": body.response_format, "speed": body.speed}
        names = [name for name, value in asked.items() if body.stream_text and value is not None]
        told = {
            "x-orpheus-ignored-fields": ", ".join([*names, *ignored_fields(body)]),
            "x-orpheus-nothing-to-speak": "true" if self._has_no_sound else "",
        }
        if self._turn is not None:
            told["x-orpheus-queue-ms"] = str(round(self._turn.waited_sec * 1000))
        return {name: value for name, value in told.items() if value}


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(parts, b"")


def _is_told_by_the_talk(outcome: Outcome) -> None:
    """The talk has its own line in the log, whichever way it ends."""

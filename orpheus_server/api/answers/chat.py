"""An answer of `POST /v1/chat` while it is made."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

from orpheus_server.api.answers.spoken_reply import Talk, open_talk
from orpheus_server.api.requests.speech import HowToSpeak, ignored_fields
from orpheus_server.api.schemas.chat import ChatRequest
from orpheus_server.concurrency import pieces_within
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.runtime.state import Runtime
from orpheus_server.synthesis.admission import EngineSlot

_ROUTE = "/v1/chat"


@dataclass(slots=True)
class _Answer:
    """An answer while it is made; what it opens, the end of its generator closes."""

    body: ChatRequest
    how: HowToSpeak
    runtime: Runtime
    request_id: str
    caller: str
    _slot: EngineSlot | None = field(default=None, init=False)
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
        is_text, runtime, slot = self.body.stream_text, self.runtime, None
        with ExitStack() as stack:
            # Before the model is asked: a caller who must come back later learns it at once.
            if is_text:
                stack.enter_context(runtime.reply_slots.taken(self.caller))
            else:
                opened = runtime.admission.reserve(self.caller, "interactive", is_coming=True)
                self._slot = slot = stack.enter_context(opened)
            async with open_talk(
                runtime,
                self.request_id,
                self._messages,
                self._options,
                how=None if is_text else self.how,
                slot=slot,
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
        if self._slot is not None:
            told["x-orpheus-queue-ms"] = str(round(self._slot.waited_sec * 1000))
        return {name: value for name, value in told.items() if value}

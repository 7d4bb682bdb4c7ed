"""The answer to `POST /v1/chat` while it is generated."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

from orpheus_server.api.answers.spoken_reply import SpokenReply, open_spoken_reply
from orpheus_server.api.requests.normalization import ignored_normalize
from orpheus_server.api.requests.speech import ignored_fields
from orpheus_server.api.schemas.chat import ChatRequest
from orpheus_server.concurrency import pieces_within
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.engine_slot import EngineSlot
from orpheus_server.synthesis.job import SpeechParams

_ROUTE = "/v1/chat"


@dataclass(slots=True)
class ChatAnswer:
    """An answer in progress. Whatever it opens is closed when its generator ends."""

    body: ChatRequest
    params: SpeechParams
    services: SpeechServices
    request_id: str
    caller: str
    waited_sec: float
    """How long the request waited for its models to load."""

    _slot: EngineSlot | None = field(default=None, init=False)
    _spoken: SpokenReply | None = field(default=None, init=False)

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

    async def audio(self) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of the spoken answer."""
        async with (
            self._open_spoken_reply() as spoken,
            aclosing(spoken.pieces()) as pieces,
        ):
            async for piece in pieces:
                if piece.data:
                    yield piece.data

    async def text(self) -> AsyncGenerator[bytes, None]:
        """Yields the text of the answer as the language model writes it."""
        limit_sec = self.services.settings.tts_request_timeout_sec
        async with (
            self._open_spoken_reply() as spoken,
            aclosing(pieces_within(limit_sec, spoken.reply.deltas())) as deltas,
        ):
            async for text in deltas:
                yield text.encode()

    async def whole(self) -> bytes:
        """Returns the complete answer."""
        if self.body.stream_text:
            return b"".join([part async for part in self.text()])
        async with self._open_spoken_reply() as spoken:
            return await spoken.whole()

    @asynccontextmanager
    async def _open_spoken_reply(self) -> AsyncIterator[SpokenReply]:
        is_text, services, slot = self.body.stream_text, self.services, None
        with ExitStack() as stack:
            # Before the language model starts, so that a rejected caller need not wait for it.
            if is_text:
                stack.enter_context(services.reply_slots.taken(self.caller))
            else:
                opened = services.admission.reserve(
                    self.caller, "interactive", is_coming=True, waited_sec=self.waited_sec
                )
                self._slot = slot = stack.enter_context(opened)
            async with open_spoken_reply(
                services,
                self.request_id,
                self._messages,
                self._options,
                params=None if is_text else self.params,
                slot=slot,
                route=_ROUTE,
                caller=self.caller,
                voice=self.params.voice,
            ) as spoken:
                self._spoken = spoken
                yield spoken

    def headers(self) -> dict[str, str]:
        """Returns the headers that are known when the first bytes are sent."""
        body = self.body
        # These apply to audio only.
        requested = {"response_format": body.response_format, "speed": body.speed}
        names = [
            name for name, value in requested.items() if body.stream_text and value is not None
        ]
        if body.stream_text:
            names += ["normalize"] if body.normalize is not None else []
        else:
            names += ignored_normalize(body.normalize, self.params.voice, self.services)
        headers = {
            "x-orpheus-ignored-fields": ", ".join([*names, *ignored_fields(body)]),
            **(self._spoken.text_headers() if self._spoken else {}),
        }
        if self._slot is not None:
            headers["x-orpheus-queue-ms"] = str(round(self._slot.waited_sec * 1000))
        return {name: value for name, value in headers.items() if value}

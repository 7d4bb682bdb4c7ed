"""The answer to `POST /v1/chat/completions` in progress: one JSON object, or events."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any

from orpheus_server.api.answers.base64_stream import Base64Stream
from orpheus_server.api.answers.spoken_reply import SpokenReply, open_spoken_reply
from orpheus_server.api.requests.completion import CompletionParams
from orpheus_server.api.schemas.completion_response import (
    ChunkChoice,
    Completion,
    CompletionAudio,
    CompletionChoice,
    CompletionChunk,
    CompletionMessage,
    CompletionUsage,
    Delta,
    DeltaAudio,
    usage_of,
)
from orpheus_server.chat.filters import WordFinder
from orpheus_server.chat.reply import Reply
from orpheus_server.concurrency import merged, pieces_within, within
from orpheus_server.errors import OrpheusError
from orpheus_server.interfaces import FinishReason
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.server.errors import ErrorResponse
from orpheus_server.server.responses import Outcome, sse_event, with_error_event
from orpheus_server.synthesis.engine_slot import EngineSlot
from orpheus_server.synthesis.job import AudioPiece

_ROUTE = "/v1/chat/completions"
_DONE = b"data: [DONE]\n\n"


class CompletionAnswer:
    """An answer in progress. It holds a slot until `end`, and raises if it cannot get one."""

    def __init__(
        self,
        params: CompletionParams,
        services: SpeechServices,
        request_id: str,
        caller: str,
        *,
        waited_sec: float,
    ) -> None:
        """`waited_sec` is how long the request waited for its models to load."""
        key = request_id.removeprefix("req_")
        self._id, self._audio_id = f"chatcmpl-{key}", f"audio_{key}"
        self._created = int(time.time())
        self._params = params
        self._services = services
        self._request_id = request_id
        self._caller = caller
        self._spoken: SpokenReply | None = None
        self._is_made = False
        self._opened = ExitStack()
        self._slot: EngineSlot | None = None
        # Before the language model starts, so that a rejected caller learns of it without delay.
        if params.speech is None:
            self._opened.enter_context(services.reply_slots.taken(caller))
        else:
            slot = services.admission.reserve(
                caller, "interactive", is_coming=True, waited_sec=waited_sec
            )
            self._slot = self._opened.enter_context(slot)
        info = services.chat_info()
        assert info is not None
        self._model = info.name

    async def whole(self) -> bytes:
        """Returns the complete answer as JSON."""
        async with self._open_spoken_reply() as spoken:
            if self._params.speech is None:
                await within(self._limit_sec, _read(spoken.reply))
                answer = self._completion(spoken, None).model_dump_json().encode()
            else:
                data = await spoken.whole()
                expires_at = self._keep(spoken.reply.text)
                # In a thread, because a long answer is megabytes.
                answer = await asyncio.to_thread(self._render, spoken, data, expires_at)
        self._is_made = True
        return answer

    def events(self) -> AsyncGenerator[bytes, None]:
        """Yields the answer as events. An error after the first event is sent as an event, too."""
        return with_error_event(self._events(), lambda error: ErrorResponse(error=error))

    def headers(self) -> dict[str, str]:
        """Returns the headers that are known; counts only if the answer is whole or silent."""
        headers: dict[str, object] = {
            "x-orpheus-ignored-fields": ", ".join(self._params.ignored_fields),
            "x-orpheus-skipped-messages": self._params.num_skipped_messages,
        }
        spoken, slot = self._spoken, self._slot
        if spoken is not None and slot is not None and not self._params.is_streamed:
            headers |= spoken.text_headers() | {
                "x-orpheus-queue-ms": str(round(slot.waited_sec * 1000)),
                "x-orpheus-degraded-chunks": len(spoken.stats.degraded_chunks),
            }
        elif spoken is not None and spoken.reply.has_nothing_to_speak:
            headers |= spoken.text_headers()
        return {name: str(value) for name, value in headers.items() if value}

    def end(self, outcome: Outcome) -> None:
        """Gives the slot back. Counts a caller who left while a complete answer was being sent."""
        self._opened.close()
        if outcome == "caller left" and self._is_made:
            self._services.metrics.count_disconnect(_ROUTE)

    @property
    def _limit_sec(self) -> float:
        return self._services.settings.tts_request_timeout_sec

    @asynccontextmanager
    async def _open_spoken_reply(self) -> AsyncIterator[SpokenReply]:
        params = self._params
        async with open_spoken_reply(
            self._services,
            self._request_id,
            params.messages,
            params.options,
            params=params.speech,
            slot=self._slot,
            route=_ROUTE,
            caller=self._caller,
            has_voice_prompt=params.speech is not None,
        ) as spoken:
            self._spoken = spoken
            yield spoken

    def _keep(self, text: str) -> int:
        return self._services.transcripts.keep(self._caller, self._audio_id, text)

    def _render(self, spoken: SpokenReply, data: bytes, expires_at: int) -> bytes:
        audio = CompletionAudio(
            id=self._audio_id,
            data=base64.b64encode(data).decode(),
            expires_at=expires_at,
            transcript=spoken.reply.text,
        )
        return self._completion(spoken, audio).model_dump_json().encode()

    def _completion(self, spoken: SpokenReply, audio: CompletionAudio | None) -> Completion:
        content = spoken.reply.text if audio is None else None
        choice = CompletionChoice(
            message=CompletionMessage(content=content, audio=audio),
            finish_reason=_finish_reason(spoken.reply),
        )
        return Completion(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=[choice],
            usage=usage_of(spoken.reply.stats, spoken.stats),
        )

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Yields events; the first one is sent together with the first text or audio.

        A spoken answer begins with its first word, because the headers report one that has nothing
        to speak.
        """
        async with self._open_spoken_reply() as spoken:
            is_spoken = self._params.speech is not None
            is_held, words = is_spoken, WordFinder()
            begun = self._begin()
            deltas = self._spoken_deltas(spoken) if is_spoken else self._written_deltas(spoken)
            async with aclosing(deltas):
                async for delta in deltas:
                    begun += self._chunk(delta)
                    if is_held and delta.audio is not None:
                        words.feed(delta.audio.transcript or "")
                        is_held = not words.has_word and delta.audio.data is None
                    if not is_held:
                        yield begun
                        begun = b""
            yield begun + self._chunk(Delta(), _finish_reason(spoken.reply))
            if self._params.has_usage:
                yield self._event(choices=[], usage=usage_of(spoken.reply.stats, spoken.stats))
        yield _DONE

    def _begin(self) -> bytes:
        if self._params.speech is None:
            return self._chunk(Delta(role="assistant", content="", refusal=None))
        audio = DeltaAudio(id=self._audio_id, transcript="")
        return self._chunk(Delta(role="assistant", content=None, refusal=None, audio=audio))

    async def _written_deltas(self, spoken: SpokenReply) -> AsyncGenerator[Delta, None]:
        async with aclosing(pieces_within(self._limit_sec, spoken.reply.deltas())) as texts:
            async for text in texts:
                yield Delta(content=text)

    async def _spoken_deltas(self, spoken: SpokenReply) -> AsyncGenerator[Delta, None]:
        heard: dict[int, str] = {}
        encoder = Base64Stream()
        both: AsyncGenerator[str | AudioPiece, None]
        both = merged(_transcript(spoken.reply), spoken.pieces())
        try:
            async with aclosing(both) as parts:
                async for part in parts:
                    if isinstance(part, str):
                        yield Delta(audio=DeltaAudio(transcript=part))
                    elif data := encoder.feed(part.data):
                        yield Delta(audio=DeltaAudio(data=data))
                        if part.chunk is not None and part.text is not None:
                            heard[part.chunk] = part.text
        except BaseException:
            if heard:
                # The next request may refer to the part that was sent.
                self._keep(" ".join(heard.values()))
            raise
        if data := encoder.flush():
            yield Delta(audio=DeltaAudio(data=data))
        expires_at, num_left_out = self._keep(spoken.reply.text), spoken.reply.num_left_out
        yield Delta(audio=DeltaAudio(expires_at=expires_at, num_left_out=num_left_out))

    def _chunk(self, delta: Delta, finish_reason: FinishReason | None = None) -> bytes:
        choice = ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=finish_reason)
        return self._event(choices=[choice], usage=None)

    def _event(self, *, choices: list[ChunkChoice], usage: CompletionUsage | None) -> bytes:
        fields: dict[str, Any] = {"usage": usage} if self._params.has_usage else {}
        chunk = CompletionChunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._model,
            choices=choices,
            **fields,
        )
        return sse_event(chunk, exclude_unset=True)


async def _read(reply: Reply) -> None:
    """Reads a reply to its end; its text is kept in `reply.text`."""
    async for _ in reply.deltas():
        pass


async def _transcript(reply: Reply) -> AsyncGenerator[str, None]:
    """Yields the text. Errors are left to the audio, which first speaks what was written before."""
    try:
        async with aclosing(reply.deltas()) as texts:
            async for text in texts:
                yield text
    except OrpheusError:
        return


def _finish_reason(reply: Reply) -> FinishReason:
    assert reply.stats.finish_reason is not None, "a reply without a finish reason has failed"
    return reply.stats.finish_reason

"""A language model on any server with OpenAI's API."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpx2
import openai

from orpheus_server.chat.conversation import fit_to_context, fold_system
from orpheus_server.chat.remote.answer_stream import AnswerStream
from orpheus_server.chat.remote.client import (
    REMOTE_ERRORS,
    RemoteClient,
    cause_of,
    events_of,
    remote_error_of,
    translate,
)
from orpheus_server.chat.remote.dialect import Dialect, fitted
from orpheus_server.errors import OrpheusError, Overloaded
from orpheus_server.interfaces import (
    ChatMessage,
    ChatModelInfo,
    ReplyDelta,
    ReplyOptions,
    ReplyRequest,
)
from orpheus_server.settings import Settings

logger = logging.getLogger(__name__)

MAX_ANSWERS = 256
"""Answers at the same time, and so connections."""

CONNECT_TIMEOUT_SEC = 5.0
LOOK_TIMEOUT_SEC = 5.0

TAIL_SEC = 2.0
"""How long to wait for the token counts, which follow the end of the answer."""

DRAIN_SEC = 0.1
"""How long to wait for the end of the body, after which the connection can be reused."""

MAX_STOPS = 4
"""OpenAI accepts no more; further stop strings are applied by this server."""


class RemoteChatModel:
    """The model at `LLM_BASE_URL`. Blocks while it is built. Raises `StartError`."""

    is_alive = True

    def __init__(
        self,
        info: ChatModelInfo,
        settings: Settings,
        *,
        connect_timeout_sec: float = CONNECT_TIMEOUT_SEC,
        look_timeout_sec: float = LOOK_TIMEOUT_SEC,
        tail_sec: float = TAIL_SEC,
    ) -> None:
        assert settings.llm_base_url is not None
        self.info = info
        self.num_active = 0
        self._max_model_len = settings.llm_max_model_len
        self._look_timeout_sec = look_timeout_sec
        self._tail_sec = tail_sec
        self._dialect = Dialect()
        key = settings.llm_api_key
        self._client = RemoteClient(
            settings.llm_base_url,
            key.get_secret_value() if key else None,
            max_connections=MAX_ANSWERS,
            connect_timeout_sec=connect_timeout_sec,
        )

    async def look(self) -> None:
        """Reads the model's context from the list of models, if it is below `LLM_MAX_MODEL_LEN`.

        Logs a warning if the list hints at a mistake in the settings; never fails.
        """
        host, name = self.info.provider, self.info.name
        try:
            async with asyncio.timeout(self._look_timeout_sec):
                listed = await self._client.models()
        except (*REMOTE_ERRORS, ValueError) as error:
            logger.warning(
                "the language model's server at %s does not list its models (%s): check that it is "
                "running, LLM_BASE_URL (which usually ends in /v1) and LLM_API_KEY",
                host,
                cause_of(error),
            )
            return
        # Ollama lists `name:latest` and accepts `name`.
        known_as = next((each for each in (name, f"{name}:latest") if each in listed), None)
        if known_as is None:
            logger.warning(
                "the language model's server at %s lists %d models but not %r: "
                "check LLM_MODEL_NAME",
                host,
                len(listed),
                name,
            )
            return
        self._max_model_len = min(self._max_model_len, listed[known_as] or self._max_model_len)

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyDelta, None]:
        """Yields the answer as it arrives. Closing the generator closes the connection."""
        if self.num_active >= MAX_ANSWERS:
            raise Overloaded(
                "The language model is answering as many requests as it can.", retry_after_sec=5
            )
        self.num_active += 1
        try:
            messages, max_tokens = await asyncio.to_thread(
                fit_to_context,
                request.messages,
                max_model_len=self._max_model_len,
                max_tokens=request.options.max_tokens,
            )
            try:
                async with aclosing(self._deltas(request, messages, max_tokens)) as deltas:
                    async for delta in deltas:
                        yield delta
            except OrpheusError as error:
                self._warn(request, error, cause_of(error))
                raise
            except REMOTE_ERRORS as error:
                translated = translate(error)
                self._warn(request, translated, cause_of(error))
                if isinstance(error, openai.APIStatusError):
                    # Its text may quote the prompt or the key and would appear in a traceback.
                    raise translated from None
                raise translated from error
        finally:
            self.num_active -= 1

    def _warn(self, request: ReplyRequest, error: OrpheusError, cause: str) -> None:
        logger.warning(
            "request=%s llm=%s host=%s: %s (%s)",
            request.request_id,
            self.info.name,
            self.info.provider,
            error,
            cause,
        )

    async def _deltas(
        self, request: ReplyRequest, messages: Sequence[ChatMessage], max_tokens: int
    ) -> AsyncGenerator[ReplyDelta, None]:
        response = await self._ask(request, messages, max_tokens)
        try:
            stream = AnswerStream()
            async with aclosing(events_of(response)) as events:
                while (event := await self._next(events, stream)) is not None:
                    delta = stream.take(event)
                    if delta is not None:
                        yield delta
            yield stream.last()
        finally:
            await response.aclose()

    async def _next(self, events: AsyncGenerator[str, None], stream: AnswerStream) -> str | None:
        """Returns the next event, or None at the end. Errors after the answer's end are ignored."""
        if stream.is_done:
            patience_sec: float | None = DRAIN_SEC
        else:
            patience_sec = None if stream.finish_reason is None else self._tail_sec
        try:
            async with asyncio.timeout(patience_sec):
                return await anext(events, None)
        except (*REMOTE_ERRORS, OrpheusError):
            if patience_sec is None:
                raise
            return None

    async def _ask(
        self, request: ReplyRequest, messages: Sequence[ChatMessage], max_tokens: int
    ) -> httpx2.Response:
        """Sends the request, again in another dialect if the server rejects it, and remembers it.

        A token limit that is too large for the model is left out.
        """
        dialect = self._dialect
        limit: int | None = max_tokens
        while True:
            body = await asyncio.to_thread(
                _body, self.info.name, request.options, messages, limit, dialect
            )
            try:
                response = await self._client.complete(body)
            except openai.APIStatusError as error:
                remote_error = remote_error_of(error)
                if limit is not None and remote_error.is_limit_too_large:
                    limit = None
                    continue
                other = fitted(dialect, remote_error)
                if other is None:
                    raise
                dialect = other
            else:
                self._dialect = self._dialect.joined(dialect)
                return response

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()


def _body(
    model: str,
    options: ReplyOptions,
    messages: Sequence[ChatMessage],
    max_tokens: int | None,
    dialect: Dialect,
) -> bytes:
    sent = messages if dialect.has_system_role else fold_system(messages)
    wanted = {
        dialect.token_limit: max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "presence_penalty": options.presence_penalty or None,
        "frequency_penalty": options.frequency_penalty or None,
        "stop": list(options.stop[:MAX_STOPS]) or None,
        "stream_options": {"include_usage": True} if dialect.reports_usage else None,
    }
    payload = {
        "model": model,
        "messages": [{"role": each.role, "content": each.content} for each in sent],
        "stream": True,
        **{name: value for name, value in wanted.items() if value is not None},
    }
    return json.dumps(payload).encode("ascii")

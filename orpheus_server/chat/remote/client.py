"""Connection to a server with OpenAI's API: the SDK's client, and its errors translated."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import anyio
import httpx2
import openai

from orpheus_server import __version__
from orpheus_server.chat.remote.answer_stream import DONE, remote_error_in
from orpheus_server.chat.remote.failures import RemoteError, error_for
from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, OrpheusError, StartError
from orpheus_server.event_stream import MAX_EVENT_BYTES, EventStreamParser

_NO_KEY = "none"

# Raised while a body is read; the SDK does not wrap these.
_TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, OSError, anyio.EndOfStream)

REMOTE_ERRORS = (openai.OpenAIError, *_TRANSPORT_ERRORS)
"""Everything that calls of the client and reading responses raise."""

_DROPPED = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)


class _Sdk(openai.AsyncOpenAI):
    """The SDK's client without headers from the environment, where keys, organizations and projects
    are meant for OpenAI's own server.
    """

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        """Headers of every request."""
        return {
            "Accept": "text/event-stream, application/json",
            # Compression would buffer tokens.
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/json",
            "User-Agent": f"orpheus-server/{__version__}",
        }


class RemoteClient:
    """Client of one server. Blocks while it loads certificates. Raises `StartError`."""

    def __init__(
        self, base_url: str, key: str | None, *, max_connections: int, connect_timeout_sec: float
    ) -> None:
        # No read timeout: `reply.py` has one for every language model.
        timeout = httpx2.Timeout(None, connect=connect_timeout_sec, pool=connect_timeout_sec)
        try:
            self._sdk = _Sdk(
                base_url=base_url,
                api_key=key or _NO_KEY,
                # Set to empty, because the SDK reads missing ones from the environment.
                admin_api_key="",
                organization="",
                project="",
                webhook_secret="",
                timeout=timeout,
                # The SDK would wait as long as the server says, up to two minutes.
                max_retries=0,
                http_client=httpx2.AsyncClient(
                    timeout=timeout,
                    limits=httpx2.Limits(max_connections=max_connections),
                    # A proxy from the environment would also get, and could read, local requests.
                    trust_env=False,
                    # Conversations must only go to the configured address.
                    follow_redirects=False,
                ),
            )
        except httpx2.InvalidURL as error:
            raise StartError(f"LLM_BASE_URL={base_url!r}: {error}") from error

    async def complete(self, body: bytes) -> httpx2.Response:
        """Sends a JSON request and returns the response, whose body the caller reads and closes.

        Raises the errors that `translate` accepts.
        """
        try:
            return await self._post(body)
        except openai.APIConnectionError as error:
            # A pooled connection may have been closed while idle; then nothing was processed.
            if not isinstance(error.__cause__, _DROPPED):
                raise
        return await self._post(body)

    async def _post(self, body: bytes) -> httpx2.Response:
        # Not `chat.completions.create`, which hides responses that are not streams, and their end.
        response = await self._sdk.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=body,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        return cast(httpx2.Response, response)

    async def models(self) -> dict[str, int | None]:
        """Returns the listed models with their context in tokens, if the server reports it as vLLM
        does. Raises the errors that `translate` accepts, or `ValueError`.
        """
        listed = await self._sdk.get("/models", cast_to=object)
        entries = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(entries, list):
            raise ValueError("not a list of models")
        contexts = {
            str(entry["id"]): entry.get("max_model_len")
            for entry in entries
            if isinstance(entry, dict) and "id" in entry
        }
        return {
            name: context_tokens if isinstance(context_tokens, int) and context_tokens > 0 else None
            for name, context_tokens in contexts.items()
        }

    async def close(self) -> None:
        """Closes all connections."""
        await self._sdk.close()


async def events_of(response: httpx2.Response) -> AsyncGenerator[str, None]:
    """Yields the events of a body; a JSON body is a single event."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with aclosing(response.aiter_bytes()) as chunks:
        try:
            if kind == "application/json":
                body = b""
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_EVENT_BYTES:
                        raise ValueError("the body is too long")
                yield body.decode("utf-8")
                yield DONE
                return
            parser = EventStreamParser()
            async for chunk in chunks:
                for event in parser.feed(chunk):
                    yield event
            for event in parser.flush():
                yield event
        except ValueError as error:
            raise ChatModelFailed(
                "The language model's server sent a response that is not a chat completion."
            ) from error


def remote_error_of(error: openai.APIStatusError) -> RemoteError:
    """Reads the error of a response with an error status."""
    body = error.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    remote_error = remote_error_in(inner, status=error.status_code)
    return RemoteError(
        status=remote_error.status,
        code=remote_error.code,
        param=remote_error.param,
        text=remote_error.text,
        retry_after=error.response.headers.get("retry-after"),
    )


def translate(error: Exception) -> OrpheusError:
    """Translates one of `REMOTE_ERRORS` into the error for the caller."""
    if isinstance(error, openai.APIStatusError):
        return error_for(remote_error_of(error))
    if isinstance(error, openai.APIConnectionError):
        return ChatModelUnavailable("The language model's server cannot be reached.")
    if isinstance(error, _TRANSPORT_ERRORS):
        return ChatModelFailed("The language model's answer ended early.")
    return ChatModelFailed("The request to the language model's server failed.")


def cause_of(error: Exception) -> str:
    """Describes an error for the log: its type, and why a connection failed."""
    if isinstance(error, openai.APIStatusError):
        return f"status {error.status_code}"
    # The cause of a timeout is a cancellation, which is not an Exception.
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    kind = type(cause).__name__
    return f"{kind}: {cause}" if isinstance(cause, httpx2.ConnectError) else kind

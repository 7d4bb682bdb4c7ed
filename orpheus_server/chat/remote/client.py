"""The connection to a server that speaks OpenAI's API: the SDK's client, and what goes wrong."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import anyio
import httpx2
import openai

from orpheus_server import __version__
from orpheus_server.chat.remote.answer_stream import (
    DONE,
    MAX_EVENT_BYTES,
    EventStreamParser,
    remote_error_in,
)
from orpheus_server.chat.remote.failures import RemoteError, error_for
from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, OrpheusError, StartError

_NO_KEY = "none"

# Raised by reading a body, which the SDK leaves as it is.
_TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, OSError, anyio.EndOfStream)

REMOTE_ERRORS = (openai.OpenAIError, *_TRANSPORT_ERRORS)
"""All that a call of the client and reading its response raise."""

_DROPPED = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)


class _Sdk(openai.AsyncOpenAI):
    """The SDK's client without the headers that it finds in the environment: keys, organizations
    and projects there are meant for another server.
    """

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        """All of them."""
        return {
            "Accept": "text/event-stream, application/json",
            # Compression holds tokens back until it has enough of them.
            "Accept-Encoding": "identity",
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/json",
            "User-Agent": f"orpheus-server/{__version__}",
        }


class RemoteClient:
    """Asks one server. Blocking to build: it loads certificates. Raises `StartError`."""

    def __init__(
        self, base_url: str, key: str | None, *, max_connections: int, connect_timeout_sec: float
    ) -> None:
        # Between bytes there is no limit of its own: `reply.py` has one for every language model.
        timeout = httpx2.Timeout(None, connect=connect_timeout_sec, pool=connect_timeout_sec)
        try:
            self._sdk = _Sdk(
                base_url=base_url,
                api_key=key or _NO_KEY,
                # Empty, or else the SDK looks for them in the environment.
                admin_api_key="",
                organization="",
                project="",
                webhook_secret="",
                timeout=timeout,
                # It would wait as long as the server says, up to two minutes.
                max_retries=0,
                http_client=httpx2.AsyncClient(
                    timeout=timeout,
                    limits=httpx2.Limits(max_connections=max_connections),
                    # A proxy of the environment would be asked for 127.0.0.1 too, and read along.
                    trust_env=False,
                    # A conversation goes to the address that was set, and to no other.
                    follow_redirects=False,
                ),
            )
        except httpx2.InvalidURL as error:
            raise StartError(f"LLM_BASE_URL={base_url!r}: {error}") from error

    async def complete(self, body: bytes) -> httpx2.Response:
        """The response to a request in JSON, whose body is still to be read, and closed.

        Raises what `translate` takes.
        """
        try:
            return await self._post(body)
        except openai.APIConnectionError as error:
            # A kept connection may have been closed while it was idle: nothing was answered there.
            if not isinstance(error.__cause__, _DROPPED):
                raise
        return await self._post(body)

    async def _post(self, body: bytes) -> httpx2.Response:
        # Not `chat.completions.create`: it hides what is no event stream, and how a stream ended.
        response = await self._sdk.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=body,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        return cast(httpx2.Response, response)

    async def models(self) -> dict[str, int | None]:
        """The names that it lists, with the context of each in tokens where the server names it, as
        vLLM does. Raises what `translate` takes, or `ValueError`.
        """
        listed = await self._sdk.get("/models", cast_to=object)
        entries = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(entries, list):
            raise ValueError("no list of models")
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
        """Closes every connection."""
        await self._sdk.close()


async def events_of(response: httpx2.Response) -> AsyncGenerator[str, None]:
    """The events of the body; one that is no event stream is a single event."""
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
                "The language model's server sent something that is no chat completion."
            ) from error


def remote_error_of(error: openai.APIStatusError) -> RemoteError:
    """What the server said with a status that is no success."""
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
    """What one of `REMOTE_ERRORS` means for our caller."""
    if isinstance(error, openai.APIStatusError):
        return error_for(remote_error_of(error))
    if isinstance(error, openai.APIConnectionError):
        return ChatModelUnavailable("The language model's server does not answer.")
    if isinstance(error, _TRANSPORT_ERRORS):
        return ChatModelFailed("The language model broke off in the middle of its answer.")
    return ChatModelFailed("The language model's server could not be asked.")


def cause_of(error: Exception) -> str:
    """For the log: kinds of errors, and where no connection came about, why."""
    if isinstance(error, openai.APIStatusError):
        return f"status {error.status_code}"
    # A timeout's is a cancellation, which is none.
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    kind = type(cause).__name__
    return f"{kind}: {cause}" if isinstance(cause, httpx2.ConnectError) else kind

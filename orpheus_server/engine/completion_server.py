"""One server of completions: its state, and streams of token ids from it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import httpx2

from orpheus_server.concurrency import cancel_all
from orpheus_server.engine.completion_dialects import EventReader, ServerFailed
from orpheus_server.engine.completions_probe import ServerInfo, Vocabulary, name_of, root_of
from orpheus_server.engine.custom_tokens import CustomTokenParser
from orpheus_server.errors import GenerationFailed
from orpheus_server.event_stream import EventStreamParser
from orpheus_server.interfaces import FinishReason, TokenRequest

T = TypeVar("T")

DRAIN_SEC = 0.1
"""How long to wait for the end of a stream after its stop id, so that its connection is reused."""

_TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, OSError, anyio.EndOfStream)

_DROPPED = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
"""How a pooled connection fails that the server has closed while it was idle."""

_REJECTED = {400, 413, 422}


@dataclass(frozen=True, slots=True)
class Part:
    """Ids as they arrive; the last part has a finish reason."""

    token_ids: list[int]
    finish_reason: FinishReason | None


class CompletionServer:
    """One address. `info` is None until a probe has succeeded; threads replace it as a whole.

    With `is_suspect` its last stream failed, and other servers are preferred until a check passes.
    """

    def __init__(
        self,
        url: str,
        client: httpx2.AsyncClient,
        vocabulary: Vocabulary,
        *,
        token_limit_sec: float,
    ) -> None:
        self.name = name_of(url)
        self.info: ServerInfo | None = None
        self.is_up = False
        self.is_suspect = False
        self.num_active = 0
        self.num_started = 0
        self._root = root_of(url)
        self._client = client
        self._vocabulary = vocabulary
        self._token_limit_sec = token_limit_sec
        self._last_token_sec = 0.0
        self._ends_by_itself = True

    async def stream(self, request: TokenRequest) -> AsyncGenerator[Part, None]:
        """Yields ids as they arrive. Closing the generator closes the connection, which aborts.

        Raises `ServerFailed` if another server may continue, `GenerationFailed` if not.
        """
        info = self.info
        assert info is not None
        self.num_active += 1
        self.num_started += 1
        try:
            body = info.dialect.body(request, self._vocabulary.stop, self._vocabulary.write)
            reader = EventReader(
                info.dialect.name,
                self._vocabulary.stop,
                self._vocabulary.size,
                CustomTokenParser(self._vocabulary.first_custom_id),
            )
            response = await self._open(info.dialect.path, body)
            try:
                async with (
                    aclosing(response.aiter_bytes()) as chunks,
                    aclosing(self._parts(chunks, reader)) as parts,
                ):
                    async for part in parts:
                        yield part
            finally:
                await response.aclose()
        except _TRANSPORT_ERRORS as error:
            raise self._failed(f"the connection broke ({type(error).__name__})") from error
        except ServerFailed as error:
            raise self._failed(str(error), is_down=error.is_down) from error
        finally:
            self.num_active -= 1

    async def _open(self, path: str, body: dict[str, object]) -> httpx2.Response:
        request = self._client.build_request(
            "POST",
            self._root + path,
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
        )
        try:
            try:
                response = await self._wait_first(self._client.send(request, stream=True))
            except _DROPPED:
                # A pooled connection may have been closed while idle; then nothing was done.
                response = await self._wait_first(self._client.send(request, stream=True))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ServerFailed("it cannot be reached", is_down=True) from error
        if response.status_code == 200:
            return response
        await response.aclose()
        if response.status_code in _REJECTED:
            raise GenerationFailed(
                f"a completion server rejected the request with status {response.status_code}"
            )
        raise ServerFailed(f"it answered with status {response.status_code}", is_down=True)

    async def _parts(
        self, chunks: AsyncGenerator[bytes, None], reader: EventReader
    ) -> AsyncGenerator[Part, None]:
        parser = EventStreamParser()
        ids: list[int] = []
        has_tokens = has_ended = False
        # To the end of the body, because only then can the connection be reused.
        while not has_ended:
            if reader.finish_reason is not None:
                chunk = await self._next_of_end(chunks, reader)
            elif has_tokens:
                chunk = await self._next(chunks)
            else:
                chunk = await self._wait_first(_read(chunks))
            has_ended = chunk is None
            try:
                events = parser.flush() if chunk is None else parser.feed(chunk)
            except ValueError as error:
                raise ServerFailed(f"{error} in its stream") from error
            for event in events:
                ids += reader.read(event)
            if not ids:
                continue
            has_tokens, self._last_token_sec = True, asyncio.get_running_loop().time()
            if reader.finish_reason is None:
                yield Part(ids, None)
                ids = []
        if reader.finish_reason is None:
            raise ServerFailed("the stream ended early")
        yield Part(ids, reader.finish_reason)

    async def _wait_first(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits until the first token. The request may be queued, so the limit is between any two
        tokens of the server: a busy server is not taken for one that hangs.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        started_sec = loop.time()
        try:
            while not task.done():
                left_sec = self.patience_sec(started_sec, loop.time())
                if left_sec <= 0:
                    raise self._stalled()
                await asyncio.wait({task}, timeout=left_sec)
            return task.result()
        finally:
            await cancel_all([task])

    def patience_sec(self, started_sec: float, now_sec: float) -> float:
        """Returns how long a request without tokens may still wait; in seconds of the loop."""
        return max(started_sec, self._last_token_sec) + self._token_limit_sec - now_sec

    async def _next(self, chunks: AsyncGenerator[bytes, None]) -> bytes | None:
        """Returns the next bytes, or None at the end of the stream."""
        try:
            async with asyncio.timeout(self._token_limit_sec):
                return await anext(chunks, None)
        except TimeoutError:
            raise self._stalled() from None

    async def _next_of_end(
        self, chunks: AsyncGenerator[bytes, None], reader: EventReader
    ) -> bytes | None:
        """Returns bytes after the stop id, or None if the server does not end the stream soon."""
        if not (self._ends_by_itself or reader.is_complete):
            return None
        try:
            async with asyncio.timeout(DRAIN_SEC):
                return await anext(chunks, None)
        except TimeoutError:
            # Its model does not end on the stop ids: later streams are closed at once.
            self._ends_by_itself = reader.is_complete
            return None
        except _TRANSPORT_ERRORS:
            return None

    def _stalled(self) -> ServerFailed:
        return ServerFailed(f"no token for {self._token_limit_sec:g} s", is_down=True)

    def _failed(self, detail: str, *, is_down: bool = False) -> ServerFailed:
        # Without the address, because callers may see the message.
        return ServerFailed(f"a completion server failed: {detail}", is_down=is_down)


async def _read(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(chunks, None)

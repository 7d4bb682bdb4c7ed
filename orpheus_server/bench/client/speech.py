"""Sends speech requests to a server and records when each piece of the response arrives."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2

from orpheus_server.bench.client.audible import AudibleFinder
from orpheus_server.bench.client.player import BYTES_PER_SEC, Piece
from orpheus_server.bench.client.request_result import SpeechResponse
from orpheus_server.bench.machine_card import ServerFacts

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

READ_AHEAD_SEC = 1.0
"""How far a real-time reader reads ahead of playback. With less, its own pauses look like
underruns; with more, short responses are never held back."""

_INFO_TIMEOUT_SEC = 10.0

_KEEP_ALIVE_SEC = 2.0
"""Lifetime of an idle connection. uvicorn closes it after 5 s, and a request that is sent at that
moment would count as failed."""


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and the parameters of the requests to it."""

    url: str
    """With or without a trailing `/v1` and slashes."""

    model: str = "tts-1"
    voice: str = "alloy"
    is_streaming: bool = True
    reads_in_real_time: bool = False
    timeout_sec: float = 300.0
    """For a whole request."""

    @property
    def root_url(self) -> str:
        """The URL without a trailing `/v1` or slash."""
        return self.url.rstrip("/").removesuffix("/v1").rstrip("/")


class Unreachable(Exception):
    """No HTTP server responds at the URL."""


class SpeechClient:
    """`async with SpeechClient(target) as client`: one connection pool, opened on demand."""

    def __init__(
        self,
        target: Target,
        *,
        api_key: str | None = None,
        clock: Clock = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._target = target
        self._clock = clock
        self._sleep = sleep
        # No compression: pieces are counted as they arrive. No proxies from the environment.
        headers = {"accept-encoding": "identity"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            timeout=None,
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=None,
                keepalive_expiry=_KEEP_ALIVE_SEC,
            ),
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def speak(self, text: str, *, seed: int) -> SpeechResponse:
        """Requests speech and reads the response to its end; errors are in the result."""
        target = self._target
        body: dict[str, object] = {
            "model": target.model,
            "voice": target.voice,
            "input": text,
            "response_format": "pcm",
            "seed": seed,
        }
        if target.is_streaming:
            body["stream"] = True
        received = _Received(self._clock())
        failure = None
        try:
            async with (
                asyncio.timeout(target.timeout_sec),
                self._http.stream(
                    "POST", f"{target.root_url}/v1/audio/speech", json=body
                ) as response,
            ):
                if response.status_code == 200:
                    await self._read(response, received)
                else:
                    failure = describe(response.status_code, await response.aread())
        except TimeoutError:
            failure = "timeout"
        except httpx2.HTTPError as error:
            # An incomplete body is a protocol error, whether it is chunked or has a length.
            problem = "broken body" if received.pieces else "no answer"
            failure = f"{problem}: {type(error).__name__}"
        total_sec = self._clock() - received.started_sec
        if target.reads_in_real_time and failure is None:
            await self._listen(received, ahead_sec=0.0)
        return SpeechResponse(
            started_sec=received.started_sec,
            total_sec=total_sec,
            pieces=tuple(received.pieces),
            audible_byte=received.finder.byte,
            failure=failure,
        )

    async def facts(self) -> ServerFacts:
        """Reads `/health` and `/`; raises `Unreachable` if there is no response."""
        health = await self._get_json("/health")
        root = await self._get_json("/")
        return ServerFacts(model=_text(health, "model"), version=_text(root, "version"))

    async def _read(self, response: httpx2.Response, received: "_Received") -> None:
        async for data in response.aiter_raw():
            received.add(data, self._clock())
            if self._target.reads_in_real_time:
                await self._listen(received, ahead_sec=READ_AHEAD_SEC)

    async def _listen(self, received: "_Received", *, ahead_sec: float) -> None:
        """Waits until all but the last `ahead_sec` of the received audio would have played."""
        wait_sec = received.unheard_sec(self._clock()) - ahead_sec
        if wait_sec > 0:
            await self._sleep(wait_sec)

    async def _get_json(self, path: str) -> Any:
        url = f"{self._target.root_url}{path}"
        try:
            response = await self._http.get(url, timeout=_INFO_TIMEOUT_SEC)
            return response.json()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error
        except ValueError:
            # Another kind of server, or the error page of a proxy.
            return None


@dataclass(slots=True)
class _Received:
    """The times and sizes of what has arrived of a response, without the bytes."""

    started_sec: float
    pieces: list[Piece] = field(default_factory=list)
    num_bytes: int = 0
    finder: AudibleFinder = field(default_factory=AudibleFinder)

    def add(self, data: bytes, now_sec: float) -> None:
        if data:
            self.pieces.append(Piece(now_sec - self.started_sec, len(data)))
            self.num_bytes += len(data)
            self.finder.feed(data)

    def unheard_sec(self, now_sec: float) -> float:
        """Returns the seconds of audio in the buffer of a player that has never stalled."""
        if not self.pieces:
            return 0.0
        heard_sec = now_sec - self.started_sec - self.pieces[0].at_sec
        return self.num_bytes / BYTES_PER_SEC - heard_sec


def describe(status: int, body: bytes) -> str:
    """Returns the status with OpenAI's error code, or with the error's type if that is null."""
    try:
        error = json.loads(body)["error"]
        return f"{status} {error.get('code') or error['type']}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return str(status)


def _text(answer: Any, name: str) -> str | None:
    value = answer.get(name) if isinstance(answer, dict) else None
    return value if isinstance(value, str) else None

"""Sends HTTP requests as a client that may read slowly or hang up."""

import asyncio
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import httpx2

from orpheus_server.bench.client.exchange import Behaviour, Exchange
from orpheus_server.bench.client.player import BYTES_PER_SEC, Piece
from orpheus_server.bench.client.speech import Clock, Sleep

SLOW_PACE = 0.8
"""Reading speed of a slow reader, as a share of real time: it falls behind playback."""

_SLOW_RECEIVE_BYTES = 4096
"""The socket's receive buffer: a larger one would accept the whole response immediately."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a timeout of 0: closing sends RST and discards unread data."""

_NO_CONNECTIONS_KEPT = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
"""A request on a reused connection that the server is closing would count as a failure, and an idle
connection as an open file that the server leaks."""


class HttpCaller:
    """`async with HttpCaller(root_url, ...) as caller`: each request opens its own connection."""

    def __init__(
        self,
        root_url: str,
        *,
        api_key: str | None = None,
        timeout_sec: float = 300.0,
        clock: Clock = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.root_url = root_url
        self.key_headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self._timeout_sec = timeout_sec
        self._clock = clock
        self._sleep = sleep
        self._http = self._open()
        self._slow_http = self._open((socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_RECEIVE_BYTES))

    def _open(self, *options: tuple[int, int, int]) -> httpx2.AsyncClient:
        # As in SpeechClient: no compression, and no proxies from the environment.
        transport = httpx2.AsyncHTTPTransport(
            limits=_NO_CONNECTIONS_KEPT, socket_options=options, trust_env=False
        )
        headers = {"accept-encoding": "identity", **self.key_headers}
        return httpx2.AsyncClient(
            headers=headers, timeout=None, trust_env=False, transport=transport
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        await self._slow_http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()
        await self._slow_http.__aexit__()

    async def get(self, path: str, *, timeout_sec: float) -> Exchange:
        """Sends a GET request; errors are in the result."""
        return await self._run("GET", path, b"", {}, Behaviour(), timeout_sec)

    async def post(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        behaviour: Behaviour = Behaviour(),  # noqa: B008 - frozen
    ) -> Exchange:
        """Sends a POST request; errors are in the result."""
        headers = {"content-type": content_type}
        return await self._run("POST", path, body, headers, behaviour, self._timeout_sec)

    async def _run(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        behaviour: Behaviour,
        timeout_sec: float,
    ) -> Exchange:
        http = self._slow_http if behaviour.is_slow else self._http
        request = http.build_request(
            method, f"{self.root_url}{path}", content=body, headers=dict(headers)
        )
        received = _Received(self._clock())
        broken, is_cut = None, False
        try:
            async with asyncio.timeout(behaviour.hang_up_sec or timeout_sec):
                response = await http.send(request, stream=True)
                try:
                    received.status = response.status_code
                    received.headers = {
                        key.lower(): value for key, value in response.headers.items()
                    }
                    is_cut = await self._read(response, received, behaviour)
                    if is_cut and behaviour.resets:
                        reset_on_close(response.extensions["network_stream"])
                finally:
                    await response.aclose()
        except TimeoutError:
            is_cut = behaviour.hang_up_sec is not None
            broken = None if is_cut else "timeout"
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # An incomplete body is a protocol error, whether it is chunked or has a length.
            problem = "no answer" if received.status is None else "broken body"
            broken = f"{problem}: {type(error).__name__}"
        return Exchange(
            started_sec=received.started_sec,
            total_sec=self._clock() - received.started_sec,
            status=received.status,
            headers=received.headers,
            pieces=tuple(received.pieces),
            body=bytes(received.body),
            broken=broken,
            is_cut=is_cut,
        )

    async def _read(
        self, response: httpx2.Response, received: "_Received", behaviour: Behaviour
    ) -> bool:
        """Reads the body; returns True if the client hangs up before its end."""
        leaves = response.status_code == 200
        if leaves and behaviour.hang_up_sec is not None:
            return True
        async for data in response.aiter_raw():
            now_sec = self._clock()
            received.add(data, now_sec)
            if leaves and behaviour.cut_byte is not None:
                if len(received.body) >= behaviour.cut_byte:
                    return True
            elif behaviour.is_slow and received.pieces:
                begun_sec = received.started_sec + received.pieces[0].at_sec
                due_sec = begun_sec + len(received.body) / (SLOW_PACE * BYTES_PER_SEC)
                if due_sec > now_sec:
                    await self._sleep(due_sec - now_sec)
        return False

    async def send_half(self, path: str, body: bytes, *, hold_sec: float, resets: bool) -> Exchange:
        """Announces the whole body, sends half of it, waits `hold_sec` and hangs up."""
        url = httpx2.URL(self.root_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        received = _Received(self._clock())
        broken = None
        try:
            async with asyncio.timeout(self._timeout_sec):
                _, writer = await asyncio.open_connection(
                    url.host, port, ssl=url.scheme == "https" or None
                )
                lines = [
                    f"POST {url.path.rstrip('/')}{path} HTTP/1.1",
                    f"host: {url.host}:{port}",
                    "content-type: application/json",
                    f"content-length: {len(body)}",
                    *(f"{name}: {value}" for name, value in self.key_headers.items()),
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 2])
                await writer.drain()
                await self._sleep(hold_sec)
                if resets:
                    reset_on_close(writer)
                writer.close()
                await writer.wait_closed()
        except TimeoutError:
            broken = "timeout"
        except OSError as error:
            broken = f"no answer: {type(error).__name__}"
        total_sec = self._clock() - received.started_sec
        return Exchange(
            received.started_sec, total_sec, None, {}, (), b"", broken, is_cut=broken is None
        )


def reset_on_close(stream: object) -> None:
    """Makes closing the stream send an RST; does nothing if the stream has no socket."""
    get_extra_info = getattr(stream, "get_extra_info", None)
    connection = None if get_extra_info is None else get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


@dataclass(slots=True)
class _Received:
    """The part of a response that has arrived."""

    started_sec: float
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes, now_sec: float) -> None:
        if data:
            self.pieces.append(Piece(now_sec - self.started_sec, len(data)))
            self.body += data

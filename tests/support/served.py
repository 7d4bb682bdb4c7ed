"""Real servers on a free port of 127.0.0.1, in a thread of the test process."""

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn

from orpheus_server.server.uvicorn_config import server_config
from tests.support.app import WAIT_LIMIT_SEC, FakeServer

T = TypeVar("T")


class PromptServer(uvicorn.Server):
    """uvicorn's server, which looks five times as often whether it should end."""

    async def main_loop(self) -> None:
        """uvicorn's own sleeps for 0.1 s, a third of the time of a short test."""
        while not await self.on_tick(0):  # noqa: ASYNC110 - a flag that any thread sets
            await asyncio.sleep(0.02)


class UvicornThread:
    """`with UvicornThread(config) as served`: uvicorn in a thread with its own event loop."""

    def __init__(self, server: uvicorn.Config | uvicorn.Server) -> None:
        self._server = PromptServer(server) if isinstance(server, uvicorn.Config) else server
        self._thread = threading.Thread(target=self._run)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve()

        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(serve())

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Starts the shutdown, as Ctrl-C does."""
        self._server.should_exit = True

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._server.servers[0].sockets[0].getsockname()
        return host, port

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def socket_url(self) -> str:
        """URL of the WebSocket route."""
        host, port = self.address
        return f"ws://{host}:{port}/v1/audio/stream"

    @property
    def num_connections(self) -> int:
        """Open connections of the server, including WebSockets and lingering ones."""
        return len(self._server.server_state.connections)

    def run(self, work: Coroutine[Any, Any, T], *, limit_sec: float = WAIT_LIMIT_SEC) -> T:
        """Runs a coroutine on the server's event loop and returns its result."""
        assert self._loop is not None
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(limit_sec)


class ServedFakes(UvicornThread):
    """The app over the fakes.

    `ping_sec` replaces uvicorn's ping interval and ping timeout.
    """

    def __init__(self, server: FakeServer, *, ping_sec: float | None = None) -> None:
        self.fakes = server
        config = server_config(server.build_app(), server.settings, port=0)
        if ping_sec is not None:
            config.ws_ping_interval = config.ws_ping_timeout = ping_sec
        super().__init__(config)

    def connect(self) -> socket.socket:
        """Opens a raw connection with the smallest receive buffer that the system allows."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT_LIMIT_SEC)
        connection.connect(self.address)
        return connection


def wait_until(
    condition: Callable[[], bool], *, limit_sec: float = WAIT_LIMIT_SEC, pause_sec: float = 0.005
) -> None:
    """Returns when the condition holds; fails the test after the limit."""
    end = time.monotonic() + limit_sec
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        pause.wait(pause_sec)

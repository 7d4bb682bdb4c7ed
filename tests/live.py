"""A real server with the real engine, in a thread of the test process."""

import asyncio
import concurrent.futures
import io
import threading
import time
import wave
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import uvicorn

from orpheus_server.app import create_app
from orpheus_server.cli import server_config
from orpheus_server.engines.vllm_engine import VllmEngine
from orpheus_server.runtime import Runtime
from orpheus_server.settings import Settings

T = TypeVar("T")

START_LIMIT_SEC = 240.0


class LiveServer:
    """`with LiveServer(settings) as server`: ready on a free port of 127.0.0.1."""

    def __init__(self, settings: Settings) -> None:
        self._app = create_app(settings)
        self._server = uvicorn.Server(server_config(self._app, settings, port=0))
        self._thread = threading.Thread(target=self._run)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve()

        asyncio.run(serve())

    def __enter__(self) -> "LiveServer":
        self._thread.start()
        wait_until(lambda: self._server.started and self.runtime.status != "starting")
        assert self.runtime.status == "healthy", self.runtime.start_error
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @property
    def runtime(self) -> Runtime:
        """What the app was started with."""
        runtime: Runtime = self._app.state.runtime
        return runtime

    @property
    def engine(self) -> VllmEngine:
        """The real engine; use it through `run` only."""
        engine = self.runtime.engine
        assert isinstance(engine, VllmEngine)
        return engine

    def run(self, work: Coroutine[Any, Any, T], *, limit_sec: float = 120.0) -> T:
        """The result of a coroutine on the server's own loop."""
        assert self._loop is not None
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(limit_sec)


def wait_until(condition: Callable[[], bool], *, limit_sec: float = START_LIMIT_SEC) -> None:
    """Returns when the condition holds; fails the test after the limit."""
    end = time.monotonic() + limit_sec
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        pause.wait(0.02)


def read_wav(data: bytes) -> npt.NDArray[np.int16]:
    """Samples of a WAV answer, whose header must be true: 24 kHz, mono, 16 bit."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        assert samples.size == file.getnframes()
    assert len(data) == 44 + 2 * samples.size
    return samples

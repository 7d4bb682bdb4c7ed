"""A real server with real engines, in a thread of the test process."""

import io
import wave
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from orpheus_server.app import create_app
from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.runtime.state import Runtime
from orpheus_server.server.uvicorn_config import server_config
from orpheus_server.settings import Settings
from tests.support import served
from tests.support.served import UvicornThread

T = TypeVar("T")

START_LIMIT_SEC = 240.0


class LiveServer(UvicornThread):
    """`with LiveServer(settings) as server`: ready when the block starts."""

    def __init__(self, settings: Settings) -> None:
        self._app = create_app(settings)
        super().__init__(server_config(self._app, settings, port=0))

    def __enter__(self) -> Self:
        super().__enter__()
        wait_until(self._is_settled)
        assert self.runtime.start_error is None, self.runtime.start_error
        return self

    def _is_settled(self) -> bool:
        runtime = self.runtime
        is_chat_settled = runtime.config.chat is None or runtime.is_chat_ready
        is_ready = runtime.status == "healthy" and is_chat_settled
        return is_ready or runtime.start_error is not None

    @property
    def runtime(self) -> Runtime:
        """The runtime of the app."""
        runtime: Runtime = self._app.state.runtime
        return runtime

    @property
    def engine(self) -> EngineSupervisor:
        """The supervisor of the real engine; use it through `run` only."""
        engine = self.runtime.engine
        assert isinstance(engine, EngineSupervisor)
        return engine

    def run(self, work: Coroutine[Any, Any, T], *, limit_sec: float = 120.0) -> T:
        """Runs a coroutine on the server's event loop and returns its result."""
        return super().run(work, limit_sec=limit_sec)


def wait_until(condition: Callable[[], bool], *, limit_sec: float = START_LIMIT_SEC) -> None:
    """`served.wait_until` with a limit that suits a real engine."""
    served.wait_until(condition, limit_sec=limit_sec)


def read_wav(data: bytes) -> npt.NDArray[np.int16]:
    """Returns the samples of a WAV response; asserts its header: 24 kHz, mono, 16 bit, sizes."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        assert samples.size == file.getnframes()
    assert len(data) == 44 + 2 * samples.size
    return samples

"""uvicorn's server, which lets what runs come to its end before it stops."""

import asyncio
import logging
import math
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

logger = logging.getLogger(__name__)

_LOOK_SEC = 0.05


class GracefulServer(uvicorn.Server):
    """On the first signal nothing new begins; on a second one, or after `drain_sec`, it is cut off.

    The port answers meanwhile, so that callers are told to go elsewhere. `begin_drain` is called
    once, and what is to be waited for are the requests and sessions that run.
    """

    def __init__(
        self, config: uvicorn.Config, *, begin_drain: Callable[[], None], drain_sec: float
    ) -> None:
        super().__init__(config)
        self._begin_drain = begin_drain
        self._drain_sec = drain_sec

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal; uvicorn's own insists on Ctrl-C for the second one."""
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains, then closes everything."""
        self._begin_drain()
        end = time.monotonic() + self._drain_sec
        tasks = self.server_state.tasks
        if tasks:
            logger.info("requests that run, and have %g s to end: %d", self._drain_sec, len(tasks))
        while tasks and not self.force_exit and time.monotonic() < end:  # noqa: ASYNC110 - a set
            await asyncio.sleep(_LOOK_SEC)
        if tasks:
            logger.warning("requests that are cut off: %d", len(tasks))
        is_late = self.force_exit or bool(tasks)
        # What is left of the time is for answers that are made and not yet taken.
        self.config.timeout_graceful_shutdown = (
            0 if is_late else math.ceil(max(0.0, end - time.monotonic()))
        )
        # uvicorn would leave out the end of the lifespan, and with it that of the engine.
        self.force_exit = False
        await super().shutdown(sockets)


def run_until_stopped(server: GracefulServer, sockets: list[socket.socket]) -> None:
    """Serves until it is told to stop; SIGTERM is then an end like any other.

    uvicorn raises the signals that it took once more when it has ended: without a handler SIGTERM
    would end the process with 143, which a supervisor takes for a failure.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run(sockets=sockets)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)

"""uvicorn's server with a drain: running requests may finish before it stops."""

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

_STOP_SIGNALS = ("SIGTERM", "SIGBREAK")
"""SIGBREAK is Ctrl-Break on Windows; other systems do not have it."""

_POLL_SEC = 0.05


class GracefulServer(uvicorn.Server):
    """Starts draining on the first signal; cuts off what still runs on a second signal, or after
    `drain_sec`.

    While it drains, the port still answers, so that clients get an error and can go elsewhere.
    `begin_drain` is called once; the server then waits for the running requests and sessions.
    `abandon` ends the process at once; it is called for a signal before the port answers, when
    uvicorn would not stop until the app has started.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        begin_drain: Callable[[], None],
        drain_sec: float,
        abandon: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._begin_drain = begin_drain
        self._drain_sec = drain_sec
        self._abandon = abandon

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal; uvicorn itself accepts only Ctrl-C as the second one."""
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)
        if not self.started and self._abandon is not None:
            self._abandon()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains, then closes everything."""
        self._begin_drain()
        end = time.monotonic() + self._drain_sec
        tasks = self.server_state.tasks
        if tasks:
            logger.info("waiting up to %g s for running requests: %d", self._drain_sec, len(tasks))
        while tasks and not self.force_exit and time.monotonic() < end:  # noqa: ASYNC110 - a set
            await asyncio.sleep(_POLL_SEC)
        if tasks:
            logger.warning("cutting off running requests: %d", len(tasks))
        is_late = self.force_exit or bool(tasks)
        # The remaining time is for responses that are complete but not yet received.
        self.config.timeout_graceful_shutdown = (
            0 if is_late else math.ceil(max(0.0, end - time.monotonic()))
        )
        # Otherwise uvicorn would skip the lifespan's shutdown, and with it the engine's.
        self.force_exit = False
        await super().shutdown(sockets)


def run_until_stopped(server: GracefulServer, sockets: list[socket.socket]) -> None:
    """Serves until a signal stops the server; SIGTERM and Ctrl-Break then count as a normal exit.

    uvicorn raises the signals that it caught again after it has stopped: without a handler, SIGTERM
    would end the process with status 143, which process supervisors treat as a failure.
    """
    numbers = [getattr(signal, name) for name in _STOP_SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        server.run(sockets=sockets)
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Times `/health`, which is only slow if the server's event loop is busy."""

import asyncio
import time

from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.client.speech import Clock, Sleep

_TIMEOUT_SEC = 10.0


class HealthProbe:
    """Requests `/health` until it is cancelled; `take` returns the times since the last `take`."""

    def __init__(
        self,
        caller: HttpCaller,
        *,
        every_sec: float = 1.0,
        clock: Clock = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._caller = caller
        self._every_sec = every_sec
        self._clock = clock
        self._sleep = sleep
        self._delays_sec: list[float] = []

    async def run(self) -> None:
        """Times responses of any status; a request without a response counts until its timeout."""
        due_sec = self._clock()
        while True:
            exchange = await self._caller.get("/health", timeout_sec=_TIMEOUT_SEC)
            self._delays_sec.append(exchange.total_sec)
            now_sec = self._clock()
            due_sec = max(due_sec + self._every_sec, now_sec)
            await self._sleep(due_sec - now_sec)

    def take(self) -> list[float]:
        """Returns the seconds of each response since the last call."""
        delays_sec, self._delays_sec = self._delays_sec, []
        return delays_sec

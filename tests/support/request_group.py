"""Requests of several callers, admitted on a clock that the test sets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orpheus_server.errors import EngineUnavailable, Overloaded, RateLimited
from orpheus_server.synthesis.admission import Admission
from orpheus_server.synthesis.fair_queue import Lane
from tests.support.app import settle


class RequestGroup:
    """Requests by name, each a task that holds its slot until it is finished or cancelled."""

    def __init__(
        self,
        num_streams: int = 2,
        *,
        max_wait_sec: float = 30.0,
        max_per_caller: int | None = None,
    ) -> None:
        self.num_streams = num_streams
        self.now = 0.0
        self.admission = Admission(
            lambda: self.num_streams,
            max_wait_sec=max_wait_sec,
            max_per_caller=max_per_caller,
            clock=lambda: self.now,
        )
        self.running: list[str] = []
        self.refused: dict[str, Exception] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.may_end: dict[str, asyncio.Event] = {}

    async def start(self, *names: str) -> None:
        """`a1` is a stream of caller a, `A1` a whole file of the same caller."""
        for name in names:
            self.may_end[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._run(name))
        await settle()

    async def finish(self, *names: str) -> None:
        """Ends these requests as soon as they have their slots."""
        for name in names:
            self.may_end[name].set()
        await settle()

    async def cancel(self, *names: str) -> None:
        """Cancels these requests, whether they wait or run."""
        for name in names:
            self.tasks[name].cancel()
        await settle()

    async def learn_short_holds(self) -> None:
        """Brings the average hold time of streams below 5 ms, for tests that wait for a timeout."""
        for _ in range(60):
            with self.admission.reserve("z", "interactive") as slot:
                await slot.wait()

    async def _run(self, name: str) -> None:
        lane: Lane = "bulk" if name[0].isupper() else "interactive"
        try:
            with self.admission.reserve(name[0].lower(), lane) as slot:
                slot.add_chunk()
                await slot.wait()
                self.running.append(name)
                try:
                    await self.may_end[name].wait()
                finally:
                    self.running.remove(name)
        except (EngineUnavailable, RateLimited) as error:
            self.refused[name] = error

    async def end(self) -> None:
        """Cancels all requests and checks that none is still counted."""
        await self.cancel(*self.tasks)
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert (self.admission.num_running, self.admission.num_waiting) == (0, 0)
        assert (self.admission.num_delivering, self.running) == (0, [])
        # A waiter that stays behind would hold up every new stream.
        assert len(self.admission._queue) == 0


@asynccontextmanager
async def request_group(
    num_streams: int = 2, *, max_wait_sec: float = 30.0, max_per_caller: int | None = None
) -> AsyncIterator[RequestGroup]:
    """Opens a group whose requests are cancelled at the end of the block."""
    group = RequestGroup(num_streams, max_wait_sec=max_wait_sec, max_per_caller=max_per_caller)
    try:
        yield group
    finally:
        await group.end()


def retry_after(error: Exception) -> int:
    """The seconds that an `Overloaded` asks the client to wait."""
    assert isinstance(error, Overloaded)
    return error.retry_after_sec

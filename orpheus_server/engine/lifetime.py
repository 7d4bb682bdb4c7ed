"""One engine until it is closed, and its generations, which end as soon as it is lost."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TypeVar

from orpheus_server.engine.watchdog import Verdict, Watchdog
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest

logger = logging.getLogger(__name__)

T = TypeVar("T")

CHECK_LIMIT_SEC = 120.0
"""For the first tokens of an engine, which may compile kernels for them."""

NUM_CHECK_TOKENS = 21
"""Three frames: every slot of the mask, and frames after the first."""

CLOSE_LIMIT_SEC = 20.0
"""For an engine to close; its successor does not wait any longer."""


class EngineLifetime:
    """Runs the generations of one engine; calls `on_death` if one raises `EngineDead`.

    `num_failures_in_row` counts the generations that have failed since one finished.
    """

    def __init__(
        self,
        engine: TokenEngine,
        watchdog: Watchdog,
        on_death: Callable[["EngineLifetime"], None],
        label: str,
    ) -> None:
        self.engine = engine
        self.is_lost = False
        self.num_failures_in_row = 0
        self._num_deltas = 0
        self._watchdog = watchdog
        self._on_death = on_death
        self._label = label
        self._waits: set[asyncio.Timeout] = set()

    @property
    def is_alive(self) -> bool:
        """Whether the engine can serve a request now."""
        return not self.is_lost and self.engine.is_alive

    def tick(self) -> Verdict:
        """Returns the watchdog's verdict on the time since the last tick."""
        self._watchdog, verdict = self._watchdog.tick(
            num_deltas=self._num_deltas,
            is_waiting=bool(self._waits),
            num_failures_in_row=self.num_failures_in_row,
        )
        return verdict

    async def check(self, request: TokenRequest) -> None:
        """Runs a short generation; raises the engine's error, or `TimeoutError`."""
        deltas = self.engine.generate(replace(request, max_tokens=NUM_CHECK_TOKENS))
        async with asyncio.timeout(CHECK_LIMIT_SEC), aclosing(deltas):
            async for _ in deltas:
                pass

    def lose(self) -> None:
        """Ends all generations with `EngineDead`, even if the engine hangs."""
        if self.is_lost:
            # A timeout that has already expired cannot be rescheduled.
            return
        self.is_lost = True
        now = asyncio.get_running_loop().time()
        for timeout in self._waits:
            timeout.reschedule(now)

    async def close(self, *, kill_first: bool = False) -> None:
        """Closes the engine in bounded time; kills it first, or if closing fails."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT_SEC):
                if kill_first:
                    await asyncio.to_thread(self.engine.kill)
                await self.engine.close()
        except Exception as error:
            logger.error("closing the old %s failed: %r", self._label, error)
            if not kill_first:
                await asyncio.to_thread(self.engine.kill)

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields the engine's deltas; raises `EngineDead` as soon as the engine is lost."""
        deltas = self.engine.generate(request)
        try:
            while (delta := await self._wait(anext(deltas, None))) is not None:
                self._num_deltas += 1
                if delta.finish_reason is not None:
                    self.num_failures_in_row = 0
                yield delta
        except EngineDead:
            self._on_death(self)
            raise
        except GenerationFailed:
            self.num_failures_in_row += 1
            raise
        finally:
            with suppress(EngineDead):
                await self._wait(deltas.aclose())

    async def _wait(self, step: Awaitable[T]) -> T:
        # A timeout costs 2 us per delta; a task to race with would cost ten times as much.
        timeout = asyncio.timeout(0 if self.is_lost else None)
        try:
            async with timeout:
                self._waits.add(timeout)
                try:
                    return await step
                finally:
                    self._waits.discard(timeout)
        except Exception as error:
            if self.is_lost and not isinstance(error, EngineDead):
                raise EngineDead(f"The {self._label} has died or stalled.") from error
            raise

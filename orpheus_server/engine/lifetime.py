"""One engine from its start to its loss, and the generations in it, which end with it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest

T = TypeVar("T")


class EngineLifetime:
    """Follows the generations of an engine; `on_death` is called when one raises `EngineDead`.

    `num_deltas` counts the deltas of all generations; `num_failures_in_row` counts failed
    generations since the last one that finished.
    """

    def __init__(
        self, engine: TokenEngine, on_death: Callable[["EngineLifetime"], None], label: str
    ) -> None:
        self.engine = engine
        self.is_lost = False
        self.num_deltas = 0
        self.num_failures_in_row = 0
        self._on_death = on_death
        self._label = label
        self._waits: set[asyncio.Timeout] = set()

    @property
    def is_alive(self) -> bool:
        """Whether it would serve a request now."""
        return not self.is_lost and self.engine.is_alive

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for its next delta at this moment."""
        return bool(self._waits)

    def lose(self) -> None:
        """Ends the wait of everybody with `EngineDead`, whatever the engine does."""
        if self.is_lost:
            # A scope that has fired already, and is cleaning up, cannot be set again.
            return
        self.is_lost = True
        now = asyncio.get_running_loop().time()
        for scope in self._waits:
            scope.reschedule(now)

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Deltas of the engine until it is lost."""
        deltas = self.engine.generate(request)
        try:
            while (delta := await self._wait(anext(deltas, None))) is not None:
                self.num_deltas += 1
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
        # A scope costs 2 us a delta; a task to race with would cost ten times as much.
        scope = asyncio.timeout(0 if self.is_lost else None)
        try:
            async with scope:
                self._waits.add(scope)
                try:
                    return await step
                finally:
                    self._waits.discard(scope)
        except Exception as error:
            if self.is_lost and not isinstance(error, EngineDead):
                raise EngineDead(f"The {self._label} was lost.") from error
            raise

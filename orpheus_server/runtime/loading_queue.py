"""Requests that arrive while a model loads, and wait for it."""

import asyncio
import time
from collections.abc import Callable

from orpheus_server.errors import EngineNotReady
from orpheus_server.synthesis.admission import MAX_WAITING

Model = Callable[[], object]
"""Returns a model. Raises `EngineNotReady` while it loads, other errors if waiting is no use."""


class LoadingQueue:
    """Holds requests until their models are loaded; used from one event loop.

    They hold no engine slot. `max_wait_sec` of 0 lets none of them wait.
    """

    def __init__(self, *, max_wait_sec: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_wait_sec = max_wait_sec
        self._clock = clock
        self._changed = asyncio.Event()
        self.num_waiting = 0

    def notify(self) -> None:
        """Has the waiting requests look at their models again; call it whenever one has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait(self, *models: Model) -> float:
        """Returns once all of these models are loaded: the seconds that this took.

        Raises `EngineNotReady` after `max_wait_sec`, or at once if `MAX_WAITING` requests wait
        already. Raises any other error of a model as soon as the model does.
        """
        error = still_loading(*models)
        if error is None:
            return 0.0
        if self.num_waiting >= MAX_WAITING:
            raise error
        started = self._clock()
        self.num_waiting += 1
        try:
            async with asyncio.timeout(self._max_wait_sec):
                while still_loading(*models) is not None:
                    await self._changed.wait()
        except TimeoutError:
            # Again, because the time to retry after has changed.
            error = still_loading(*models)
            if error is not None:
                raise error from None
        finally:
            self.num_waiting -= 1
        return self._clock() - started


def still_loading(*models: Model) -> EngineNotReady | None:
    """Returns the error of the first model that is still loading, None if all are loaded."""
    try:
        for model in models:
            model()
    except EngineNotReady as error:
        return error
    return None

"""The one bounded thread pool for heavy work: decode calls, the speed filter, text front ends."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """Runs blocking functions off the event loop, at most `max_workers` at a time."""

    def __init__(self, max_workers: int, *, initializer: Callable[[], None] | None = None) -> None:
        self._executor = ThreadPoolExecutor(
            max_workers, thread_name_prefix="orpheus-worker", initializer=initializer
        )

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; a cancelled caller leaves, the call itself ends in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def submit(self, function: Callable[[], None]) -> None:
        """Queues a function that delivers its own result, failures included."""
        self._executor.submit(function)

    async def close(self) -> None:
        """Waits for calls that run and drops those that have not started."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)

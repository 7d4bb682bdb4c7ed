"""An engine with a fault: generations that loop."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.interfaces import TokenDelta, TokenEngine, TokenRequest


class LoopingEngine:
    """Wraps an engine and makes its generations repeat one frame until `max_tokens`.

    `num_good_frames` returns the number of frames before the loop, or None for no loop.
    """

    def __init__(
        self,
        engine: TokenEngine,
        layout: TokenLayout,
        num_good_frames: Callable[[TokenRequest], int | None],
    ) -> None:
        self._engine = engine
        self._num_slots = layout.num_slots
        self._num_good_frames = num_good_frames
        self.requests: list[TokenRequest] = []

    @property
    def max_model_len(self) -> int:
        """The value of the wrapped engine."""
        return self._engine.max_model_len

    @property
    def num_active(self) -> int:
        """The value of the wrapped engine."""
        return self._engine.num_active

    @property
    def is_alive(self) -> bool:
        """The value of the wrapped engine."""
        return self._engine.is_alive

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields the wrapped engine's deltas up to the loop, then repeats the last good frame."""
        self.requests.append(request)
        num_frames = self._num_good_frames(request)
        num_left = request.max_tokens if num_frames is None else num_frames * self._num_slots
        last: tuple[int, ...] = ()
        async with aclosing(self._engine.generate(request)) as deltas:
            async for delta in deltas:
                if num_frames is None or len(delta.token_ids) < num_left:
                    yield delta
                    num_left -= len(delta.token_ids)
                    last = (last + delta.token_ids)[-self._num_slots :]
                    continue
                good = delta.token_ids[:num_left]
                last = (last + good)[-self._num_slots :]
                yield TokenDelta(good, None)
                break
        if num_frames is None or len(last) < self._num_slots:
            return
        for _ in range(num_frames, request.max_tokens // self._num_slots):
            await asyncio.sleep(0)
            yield TokenDelta(last, None)

    async def close(self) -> None:
        """Closes the wrapped engine."""
        await self._engine.close()

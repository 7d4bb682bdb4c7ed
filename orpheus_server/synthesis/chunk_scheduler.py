"""Decides which chunks are generated now: the next one of each request, others while there is room.

Admission bounds the requests, so the first unfinished chunk of each is generated at once. Later
chunks are not heard yet. They run ahead whenever the engine would otherwise do less than it could,
and those of files pause while the player of a stream waits.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from math import ceil
from types import TracebackType
from typing import Protocol, Self

from orpheus_server.synthesis.capacity import Capacity

LIVE_MAX_LOAD_AHEAD = 0.65
"""Share of the capacity up to which later chunks of streams run ahead. If it is higher, they delay
the first words of other requests; if lower, more of their own are late."""


class Turn(AbstractAsyncContextManager[object], Protocol):
    """`async with turn:` around a generation."""

    @property
    def must_pause(self) -> bool:
        """Whether the generation shall leave at its next frame, and enter again to continue."""


class FreeTurn(nullcontext[None]):
    """A turn that never waits."""

    must_pause = False


class ChunkScheduler:
    """Orders the generations of all requests; used from one event loop.

    `capacity` is how many generations run in real time, and how many are worth running at once. A
    generation that pauses has other tokens than one that does not; `may_pause` allows it.
    """

    def __init__(self, capacity: Capacity, *, may_pause: bool = True) -> None:
        self._capacity = capacity
        self._may_pause = may_pause
        # All three are ordered sets.
        self._streams: dict[RequestChunks, None] = {}
        self._waiting: dict[ChunkTurn, None] = {}
        self._running: dict[ChunkTurn, None] = {}

    @property
    def num_running(self) -> int:
        """Chunks that are being generated, or are about to be."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Chunks that could be generated if there were room."""
        return len(self._waiting)

    def open(self, *, needs_audio: Callable[[], bool] | None = None) -> "RequestChunks":
        """Returns the turns of a new request. A stream has `needs_audio`: whether its player waits,
        for its first sound or because it will soon run dry. Close it at the end of the request.
        """
        chunks = RequestChunks(self, needs_audio)
        if chunks.is_live:
            self._streams[chunks] = None
        return chunks

    def forget(self, chunks: "RequestChunks") -> None:
        """Drops a request that has ended."""
        self._streams.pop(chunks, None)
        self.update()

    def wait(self, turn: "ChunkTurn") -> None:
        """Adds a chunk to those that wait."""
        self._waiting[turn] = None
        self.update()

    def resume(self, turn: "ChunkTurn") -> None:
        """Counts a chunk that needs another generation, and does not wait again."""
        self._running[turn] = None

    def drop(self, turn: "ChunkTurn") -> None:
        """Removes a chunk that is not generated any more, or never was."""
        self._waiting.pop(turn, None)
        self._running.pop(turn, None)
        self.update()

    def update(self) -> None:
        """Starts and pauses what should now; call it whenever that may have changed."""
        is_urgent = any(chunks.needs_audio() for chunks in self._streams)
        for turn in self._running:
            may_pause = self._may_pause and not (turn.is_live or turn.is_due)
            turn.is_to_pause = is_urgent and may_pause
        for turn in [turn for turn in self._waiting if turn.is_due]:
            self._start(turn)
        self._start_ahead(is_live=True)
        if not is_urgent:
            self._start_ahead(is_live=False)

    def _start_ahead(self, *, is_live: bool) -> None:
        """Starts later chunks while there is room, those that are heard sooner first."""
        if not self._waiting:
            return
        num_free = self._room(is_live) - self.num_running
        if num_free <= 0:
            return
        waiting = [turn for turn in self._waiting if turn.is_live is is_live]
        waiting.sort(key=lambda turn: turn.distance)
        for turn in waiting[:num_free]:
            self._start(turn)

    def _room(self, is_live: bool) -> int:
        num_streams = self._capacity.num_streams
        if is_live:
            return ceil(LIVE_MAX_LOAD_AHEAD * num_streams)
        has_streams = any(chunks.is_generated for chunks in self._streams)
        num_ahead = self._capacity.num_ahead
        return min(num_streams, num_ahead) if has_streams else num_ahead

    def _start(self, turn: "ChunkTurn") -> None:
        del self._waiting[turn]
        self._running[turn] = None
        turn.start()


class RequestChunks:
    """The unfinished chunks of one request, in order."""

    def __init__(self, scheduler: ChunkScheduler, needs_audio: Callable[[], bool] | None) -> None:
        self._scheduler = scheduler
        self._needs_audio = needs_audio
        # An ordered set.
        self.turns: dict[ChunkTurn, None] = {}

    @property
    def is_live(self) -> bool:
        """Whether it is a stream, played while it is generated."""
        return self._needs_audio is not None

    @property
    def is_generated(self) -> bool:
        """Whether any of its chunks is unfinished."""
        return bool(self.turns)

    def needs_audio(self) -> bool:
        """Whether a player waits for a chunk that is being generated."""
        return bool(self.turns) and self._needs_audio is not None and self._needs_audio()

    def add(self) -> "ChunkTurn":
        """Adds the next chunk."""
        turn = ChunkTurn(self._scheduler, self)
        self.turns[turn] = None
        if self.is_live and len(self.turns) == 1:
            # Files pause while the prompt is built.
            self._scheduler.update()
        return turn

    def close(self) -> None:
        """Ends the request."""
        self._scheduler.forget(self)


class ChunkTurn:
    """The turn of one chunk: its first generation waits for it, and each that was paused.

    Attempts that follow do not wait again. Close it when the chunk is finished.
    """

    def __init__(self, scheduler: ChunkScheduler, chunks: RequestChunks) -> None:
        self._scheduler = scheduler
        self._chunks = chunks
        self._started = asyncio.Event()
        self._num_inside = 0
        self.on_start: Callable[[], None] = _do_nothing
        self.on_pause: Callable[[], None] = _do_nothing
        self.is_to_pause = False
        self.is_nearly_made = False

    @property
    def is_live(self) -> bool:
        return self._chunks.is_live

    @property
    def must_pause(self) -> bool:
        """False for the two halves of a chunk, which would have to pause at the same moment."""
        return self.is_to_pause and self._num_inside == 1

    @property
    def distance(self) -> int:
        """Number of unfinished chunks of its request before it."""
        return next(index for index, turn in enumerate(self._chunks.turns) if turn is self)

    @property
    def is_due(self) -> bool:
        """Whether it is the first unfinished one; or all before it in a stream are nearly made."""
        for turn in self._chunks.turns:
            if turn is self:
                break
            if not (self.is_live and turn.is_nearly_made):
                return False
        return True

    def start(self) -> None:
        """Ends its wait."""
        self._started.set()
        self.on_start()

    def note_nearly_made(self) -> None:
        """Lets the next chunk start, because little of this one is missing."""
        if not self.is_nearly_made:
            self.is_nearly_made = True
            self._scheduler.update()

    def close(self) -> None:
        """Ends the chunk, whether it was generated or not."""
        self._chunks.turns.pop(self, None)
        self._scheduler.drop(self)

    async def __aenter__(self) -> Self:
        if not self._started.is_set():
            self._scheduler.wait(self)
            await self._started.wait()
        elif self._num_inside == 0:
            self._scheduler.resume(self)
        self._num_inside += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._num_inside -= 1
        if self._num_inside:
            return
        if self.is_to_pause:
            self.is_to_pause = False
            self._started.clear()
            self.on_pause()
        self._scheduler.drop(self)


def _do_nothing() -> None:
    """For chunks that are not measured."""

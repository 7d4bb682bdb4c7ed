"""One request's slot in the engine, and the states that it goes through."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from orpheus_server.errors import OrpheusError
from orpheus_server.synthesis.fair_queue import Lane


class SlotState(Enum):
    """Whether a request has its slot."""

    RESERVED = auto()  # has not asked for it, or was rejected
    COMING = auto()  # will ask for it soon
    WAITING = auto()  # is queued, new or resumed
    CALLED = auto()  # was taken from the queue; its task has not run since
    RUNNING = auto()  # holds it
    PAUSED = auto()  # gave it back: all known text is synthesised, not all audio was read
    CLOSED = auto()  # has ended


@dataclass(slots=True, eq=False)
class EngineSlot:
    """Held while any chunk of the request is to be synthesised.

    A request whose reader or writer is slow gives the slot back until it continues; it then goes
    ahead of all new requests and is never rejected. The public fields belong to `Admission`.
    """

    caller: str
    lane: Lane
    state: SlotState
    enter: Callable[["EngineSlot"], Awaitable[None]]
    leave: Callable[["EngineSlot"], None]
    waited_sec: float = 0.0
    held_since: float = field(default=0.0, init=False)
    rejection: OrpheusError | None = field(default=None, init=False)
    decision: asyncio.Future[None] = field(init=False)
    """Done when the waiting request is called or rejected."""

    _num_chunks: int = field(default=0, init=False)
    _entering: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def add_chunk(self) -> None:
        """Counts one more chunk to be synthesised."""
        self._num_chunks += 1

    async def wait(self) -> None:
        """Waits until the slot is held. A new request may raise `Overloaded` or `ShuttingDown`."""
        async with self._entering:
            if self.state is SlotState.RUNNING:
                return
            if self.rejection is not None:
                raise self.rejection
            try:
                await self.enter(self)
            except OrpheusError as error:
                self.rejection = error
                raise

    def end_chunk(self) -> None:
        """Counts one chunk less, and gives the slot back after the last one."""
        self._num_chunks -= 1
        if self._num_chunks == 0:
            self.give_back()

    def give_back(self) -> None:
        """Does nothing if the slot is not held."""
        if self.state is SlotState.RUNNING:
            self.leave(self)

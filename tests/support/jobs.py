"""Numbered jobs that a test finishes one by one."""

import asyncio
from collections.abc import AsyncGenerator

from orpheus_server.synthesis.look_ahead import run_ahead

Begun = tuple[int, str, list[str]]


class Jobs:
    """Jobs that finish when their gates open; records which started, ended and were cancelled."""

    def __init__(self, count: int) -> None:
        self.gates = [asyncio.Event() for _ in range(count)]
        self.requested: list[int] = []
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.ended: list[int] = []
        self.is_closed = False

    async def run(self, number: int) -> int:
        self.started.append(number)
        try:
            await self.gates[number].wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        self.ended.append(number)
        return number

    async def fill(self, index: int, item: str, box: list[str]) -> None:
        """Work for `run_ahead`."""
        number = await self.run(index)
        box.append(f"{number}: {item}")

    async def items(self) -> AsyncGenerator[str, None]:
        """Yields an item for each job."""
        try:
            for number in range(len(self.gates)):
                self.requested.append(number)
                yield f"item {number}"
        finally:
            self.is_closed = True

    def ahead(
        self, *, look_ahead: int, items: AsyncGenerator[str, None] | None = None
    ) -> AsyncGenerator[Begun, None]:
        return run_ahead(
            items or self.items(), self.fill, lambda: list[str](), look_ahead=look_ahead
        )

    def open_all(self) -> None:
        for gate in self.gates:
            gate.set()

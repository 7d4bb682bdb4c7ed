"""Virtual time for clients and loads."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class VirtualTime:
    """A clock that only the test and `sleep` advance."""

    now_sec: float = 100.0
    sleeps: list[float] = field(default_factory=list)
    late_sec: float = 0.0
    """How much longer than requested every sleep lasts."""

    def clock(self) -> float:
        return self.now_sec

    async def sleep(self, wait_sec: float) -> None:
        """Lets other tasks run before the time passes."""
        await asyncio.sleep(0)
        self.sleeps.append(wait_sec)
        self.now_sec += wait_sec + self.late_sec

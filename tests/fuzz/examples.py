"""Fuzz tests: few fixed examples in the quick suite, many random ones in the slow suite."""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, core, given, seed, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from tests.support.served import ServedFakes, wait_until

SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbits(32))
"""Seed of the slow examples; a run prints it, and `FUZZ_SEED=number` repeats that run."""

_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


@dataclass(frozen=True)
class Effort:
    """Number of examples; the quick ones are the same in every run."""

    num_examples: int
    is_slow: bool = False

    @property
    def seed(self) -> int:
        """Returns the seed; prints it for slow examples."""
        if self.is_slow:
            print(f"FUZZ_SEED={SEED}")
        return SEED if self.is_slow else 0

    @property
    def random(self) -> Random:
        """Returns a generator for examples that hypothesis does not draw."""
        return Random(self.seed)

    @property
    def settings(self) -> settings:
        """Settings of hypothesis; without a database, runs do not depend on each other."""
        return settings(
            max_examples=self.num_examples,
            database=None,
            deadline=None,
            suppress_health_check=_QUIET,
        )

    def run(self, check: Callable[..., None], **strategies: st.SearchStrategy[Any]) -> None:
        """Calls `check` with examples of the strategies as keyword arguments."""
        # schemathesis replaces the printer with one that does not show failing examples.
        core.RepresentationPrinter = RepresentationPrinter  # type: ignore[attr-defined]
        self.settings(seed(self.seed)(given(**strategies)(check)))()


def efforts(quick: int, slow: int) -> pytest.MarkDecorator:
    """Runs the test with `quick` examples, and in the slow suite with `slow` examples."""
    many = pytest.param(Effort(slow, is_slow=True), marks=pytest.mark.slow)
    return pytest.mark.parametrize("effort", [Effort(quick), many], ids=["quick", "slow"])


def num_open_files() -> int:
    """Returns the number of file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def num_tasks(served: ServedFakes) -> int:
    """Returns the number of tasks on the server's loop, without the task that counts them."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return served.run(count())


def is_idle(served: ServedFakes) -> bool:
    """Returns whether no request is running, waiting or being delivered.

    Runs on the server's loop, which updates these counts.
    """

    async def look() -> bool:
        admission = served.fakes.runtime.admission
        num_held = admission.num_running + admission.num_waiting + admission.num_delivering
        return served.fakes.engine.num_active == 0 and num_held == 0

    return served.run(look())


@contextmanager
def leaves_nothing(served: ServedFakes) -> Iterator[None]:
    """Asserts afterwards that the engine is idle and no task or open file is left."""
    tasks, files = num_tasks(served), num_open_files()
    yield
    wait_until(lambda: is_idle(served))
    wait_until(lambda: num_tasks(served) <= tasks)
    wait_until(lambda: num_open_files() <= files)


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns the errors that the server logged, without those of clients."""
    servers = ("orpheus_server", "uvicorn", "asyncio")
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR and record.name.partition(".")[0] in servers
    ]

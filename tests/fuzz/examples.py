"""Fuzzing as a test: few examples that never change in the quick suite, many new ones in `slow`."""

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
"""Of the slow examples; `FUZZ_SEED=number` repeats those of a run that printed it."""

_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


@dataclass(frozen=True)
class Effort:
    """How many examples, and whether they are the same in every run."""

    num_examples: int
    is_slow: bool = False

    @property
    def seed(self) -> int:
        """Printed where it is not the same in every run."""
        if self.is_slow:
            print(f"FUZZ_SEED={SEED}")
        return SEED if self.is_slow else 0

    @property
    def random(self) -> Random:
        """For examples that are drawn by hand."""
        return Random(self.seed)

    @property
    def settings(self) -> settings:
        """hypothesis' own; no database, which would make a run depend on the one before it."""
        return settings(
            max_examples=self.num_examples,
            database=None,
            deadline=None,
            suppress_health_check=_QUIET,
        )

    def run(self, check: Callable[..., None], **strategies: st.SearchStrategy[Any]) -> None:
        """Calls `check` with examples of the strategies, its arguments' names being theirs."""
        # schemathesis puts a printer in its place that shows no example of a test that fails.
        core.RepresentationPrinter = RepresentationPrinter  # type: ignore[attr-defined]
        self.settings(seed(self.seed)(given(**strategies)(check)))()


def efforts(quick: int, slow: int) -> pytest.MarkDecorator:
    """Runs the test with so many examples, and once more with many in the slow suite."""
    many = pytest.param(Effort(slow, is_slow=True), marks=pytest.mark.slow)
    return pytest.mark.parametrize("effort", [Effort(quick), many], ids=["quick", "slow"])


def num_open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def num_tasks(served: ServedFakes) -> int:
    """Tasks on the server's loop, this question's own not counted."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return served.run(count())


def is_idle(served: ServedFakes) -> bool:
    """Whether nobody is spoken, waits or is listened to; asked on the server's loop, where those
    who come and go are counted.
    """

    async def look() -> bool:
        admission = served.fakes.runtime.admission
        num_held = admission.num_running + admission.num_waiting + admission.num_delivering
        return served.fakes.engine.num_active == 0 and num_held == 0

    return served.run(look())


@contextmanager
def leaves_nothing(served: ServedFakes) -> Iterator[None]:
    """Afterwards there are as many tasks and open files as before, and nothing in the engine."""
    tasks, files = num_tasks(served), num_open_files()
    yield
    wait_until(lambda: is_idle(served))
    wait_until(lambda: num_tasks(served) <= tasks)
    wait_until(lambda: num_open_files() <= files)


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server logged as a failure of its own; clients log too."""
    servers = ("orpheus_server", "uvicorn", "asyncio")
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR and record.name.partition(".")[0] in servers
    ]

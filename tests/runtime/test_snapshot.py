"""The state of the server as metrics; `test_metrics.py` has the names and values of all of them."""

import asyncio

import pytest

from orpheus_server.runtime.snapshot import SnapshotCollector, gpu_memory
from tests.runtime.test_metrics import CALM, FixedSource


@pytest.mark.anyio
async def test_tasks_of_the_event_loop_are_counted() -> None:
    found = {
        family.name: family.samples for family in SnapshotCollector(FixedSource(CALM)).collect()
    }
    assert [sample.value for sample in found["orpheus_tasks"]] == [len(asyncio.all_tasks())]


def test_without_a_gpu_there_is_no_gpu_memory() -> None:
    assert gpu_memory("cpu") == ()
    memory = list(SnapshotCollector(FixedSource(CALM)).collect())[-1]
    assert (memory.name, memory.samples) == ("orpheus_gpu_memory_bytes", [])

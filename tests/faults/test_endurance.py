"""Ten thousand requests: the process uses no more memory after them than before."""

import asyncio
import gc
import itertools
import threading
import time

import httpx2
import psutil
import pytest

from orpheus_server.audio.encoders import FORMATS
from tests.fuzz.examples import leaves_nothing, num_open_files, num_tasks
from tests.support.app import FakeServer
from tests.support.served import ServedFakes, wait_until

NUM_WARM_UP, NUM_ROUNDS, NUM_A_ROUND, NUM_CALLERS = 500, 10, 1000, 8
NUM_REQUESTS = NUM_ROUNDS * NUM_A_ROUND
MAX_GROWTH = 0.05

# One of each kind, repeated in this order.
BODIES = [
    {"input": "A.", "response_format": name, **way}
    for name in FORMATS
    for way in ({"stream": True}, {"stream": False}, {"stream_format": "sse"})
] + [{"input": "..."}]


async def call_many(url: str, num_requests: int) -> None:
    """Sends that many requests over `NUM_CALLERS` persistent connections."""
    bodies = itertools.islice(itertools.cycle(BODIES), num_requests)

    async def call(client: httpx2.AsyncClient) -> None:
        for body in bodies:
            answer = await client.post("/v1/audio/speech", json=body)
            assert answer.status_code == (400 if body["input"] == "..." else 200), answer.text
            assert answer.content

    limits = httpx2.Limits(max_connections=NUM_CALLERS)
    async with httpx2.AsyncClient(base_url=url, limits=limits, trust_env=False) as client:
        await asyncio.gather(*(call(client) for _ in range(NUM_CALLERS)))


def forget_requests(server: FakeServer) -> int:
    """Clears what the fakes record of every request; returns how many reached the engine.

    The records of ten thousand requests would fragment the heap: 20 MB that no object uses.
    """
    num_requests = len(server.engine.requests)
    server.engine.requests.clear()
    server.decoder.calls.clear()
    return num_requests


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.slow
def test_ten_thousand_short_requests() -> None:
    server = FakeServer()
    with ServedFakes(server) as served:
        with leaves_nothing(served):
            asyncio.run(call_many(served.url, NUM_WARM_UP))
            forget_requests(server)
        before = resident_bytes()
        tasks, files, threads = num_tasks(served), num_open_files(), threading.active_count()
        started_cpu_sec, started = time.process_time(), time.perf_counter()
        num_engine_requests = 0
        for _ in range(NUM_ROUNDS):
            asyncio.run(call_many(served.url, NUM_A_ROUND))
            num_engine_requests += forget_requests(server)
        cpu_sec, elapsed_sec = time.process_time() - started_cpu_sec, time.perf_counter() - started
        wait_until(lambda: num_tasks(served) <= tasks)
        wait_until(lambda: num_open_files() <= files)
        wait_until(lambda: threading.active_count() <= threads)
        after = resident_bytes()
        print(
            f"{NUM_REQUESTS} requests in {elapsed_sec:.0f} s, {cpu_sec:.0f} s of CPU with the "
            f"callers; memory {before / 2**20:.1f} to {after / 2**20:.1f} MiB "
            f"({after / before - 1:+.1%}), tasks {tasks}, files {files}, threads {threads} to "
            f"{threading.active_count()}"
        )
        assert num_engine_requests == NUM_REQUESTS - NUM_ROUNDS * (NUM_A_ROUND // len(BODIES))
        assert after / before - 1 < MAX_GROWTH
        assert server.engine.num_active == 0

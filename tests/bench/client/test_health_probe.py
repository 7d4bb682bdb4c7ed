"""The probe of `/health`, in virtual time."""

import asyncio

import pytest

from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.health_probe import HealthProbe
from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.concurrency import cancel_all
from tests.bench.builders import exchange
from tests.support.app import wait_for


class TimedCaller(HttpCaller):
    """Answers each request after the next of these delays."""

    def __init__(self, *delays_sec: float) -> None:
        self.now_sec = 0.0
        self.sleeps: list[float] = []
        self._delays_sec = iter(delays_sec)

    async def get(self, path: str, *, timeout_sec: float) -> Exchange:
        assert path == "/health"
        delay_sec = next(self._delays_sec, None)
        if delay_sec is None:
            await asyncio.Event().wait()
            raise AssertionError
        start_sec, self.now_sec = self.now_sec, self.now_sec + delay_sec
        found = exchange(b"{}", started_sec=start_sec)
        return Exchange(start_sec, delay_sec, 200, {}, found.pieces, found.body)

    async def sleep(self, wait_sec: float) -> None:
        self.sleeps.append(wait_sec)
        self.now_sec += wait_sec


@pytest.mark.anyio
async def test_one_request_a_second_however_slow_the_answers() -> None:
    caller = TimedCaller(0.25, 2.5, 0.5)
    probe = HealthProbe(caller, clock=lambda: caller.now_sec, sleep=caller.sleep)
    task = asyncio.create_task(probe.run())
    await wait_for(lambda: len(caller.sleeps) == 3)
    assert probe.take() == [0.25, 2.5, 0.5]
    assert probe.take() == []
    assert caller.sleeps == [0.75, 0.0, 0.5]
    await cancel_all([task])

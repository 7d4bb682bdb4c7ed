"""How far ahead of its playback time audio is sent."""

import pytest

from orpheus_server.api.realtime.pacing import MAX_AHEAD_SEC, Pacer

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that only sleeping and the test advance."""

    def __init__(self) -> None:
        self.now_sec = 100.0
        self.slept_sec: list[float] = []

    def __call__(self) -> float:
        return self.now_sec

    async def sleep(self, duration_sec: float) -> None:
        self.slept_sec.append(duration_sec)
        self.now_sec += duration_sec


async def test_samples_within_the_limit_do_not_wait() -> None:
    """Regression: a client that read at playback speed was dropped after 40 s, because it reached
    the ping only after all of the audio sent before it."""
    clock = Clock()
    pacer = Pacer(1000, clock=clock, sleep=clock.sleep)
    for sample in (0, 5000, int(MAX_AHEAD_SEC * 1000)):
        await pacer.wait_for(sample)
    assert clock.slept_sec == []
    await pacer.wait_for(10_500)
    await pacer.wait_for(12_000)
    assert clock.slept_sec == [0.5, 1.5]


async def test_a_late_sample_does_not_wait() -> None:
    clock = Clock()
    pacer = Pacer(1000, clock=clock, sleep=clock.sleep)
    await pacer.wait_for(0)
    clock.now_sec += 60
    # After a pause in the text the player starts again, and so does the limit.
    await pacer.wait_for(20_000)
    await pacer.wait_for(30_000)
    assert clock.slept_sec == []
    await pacer.wait_for(30_250)
    assert clock.slept_sec == [0.25]


async def test_samples_played_without_a_buffer() -> None:
    clock = Clock()
    pacer = Pacer(1000, clock=clock, sleep=clock.sleep)
    assert pacer.num_played(500) == 0
    clock.now_sec += 7
    await pacer.wait_for(0)
    assert pacer.num_played(500) == 0
    clock.now_sec += 0.25
    assert pacer.num_played(500) == 250
    clock.now_sec += 9
    assert pacer.num_played(500) == 500
    # The player had run out of samples, and started again with this one.
    await pacer.wait_for(500)
    assert pacer.num_played(1500) == 500
    clock.now_sec += 0.5
    assert pacer.num_played(1500) == 1000

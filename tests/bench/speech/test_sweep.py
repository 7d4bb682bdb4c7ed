"""The requests of a sweep, in virtual time."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import httpx2
import pytest

from orpheus_server.bench.client.speech import SpeechClient, Target
from orpheus_server.bench.client.texts import TextLength, text_for
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.open_loop import arrival_times
from orpheus_server.bench.speech.options import Options
from orpheus_server.bench.speech.report import LevelReport
from orpheus_server.bench.speech.sweep import run_sweep
from tests.bench.scripted_server import SOUND
from tests.bench.virtual_time import VirtualTime

pytestmark = pytest.mark.anyio

OPTIONS = Options(
    target=Target("http://server"),
    texts=("short",),
    concurrency=(),
    rates_per_sec=(),
    rounds=1,
    num_requests=3,
    duration_sec=None,
    stagger_sec=0.0,
    seed=5,
    num_warmups=0,
    burst=None,
    num_bursts=1,
)


@dataclass
class Body(httpx2.AsyncByteStream):
    """A response that takes `duration_sec`."""

    time: VirtualTime
    duration_sec: float

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.time.now_sec += self.duration_sec
        yield SOUND


@dataclass
class Sweep:
    """Runs sweeps on a server and records its requests."""

    duration_sec: float = 0.0
    """Of a response."""

    time: VirtualTime = field(default_factory=VirtualTime)
    requests: list[tuple[float, str, int]] = field(default_factory=list)
    """(Seconds since the start, text, seed)."""

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        self.requests.append((self.time.now_sec - 100.0, body["input"], body["seed"]))
        return httpx2.Response(200, stream=Body(self.time, self.duration_sec))

    async def run(self, options: Options) -> Sequence[LevelReport]:
        time, transport = self.time, httpx2.MockTransport(self.respond)
        async with SpeechClient(
            options.target, clock=time.clock, sleep=time.sleep, transport=transport
        ) as client:
            return await run_sweep(options, client, clock=time.clock, sleep=time.sleep)


async def test_users() -> None:
    sweep = Sweep(duration_sec=0.25)
    options = replace(OPTIONS, concurrency=(1, 2), num_requests=None, stagger_sec=0.5)
    levels = await sweep.run(options)
    assert [each.level for each in levels] == [Level("short", 1), Level("short", 2)]
    assert [each.summary.num_requests for each in levels] == [8, 8]
    assert levels[0].summary.largest_send_delay_sec is None


async def test_a_rate() -> None:
    """Every text length has the arrivals, and every request the text and seed of its index."""
    sweep = Sweep()
    levels = await sweep.run(replace(OPTIONS, texts=("short", "long"), rates_per_sec=(2.0,)))
    assert [each.level.rate_per_sec for each in levels] == [2.0, 2.0]
    arrivals_sec = arrival_times(2.0, seed=5, num_requests=3)
    starts: list[tuple[TextLength, float]] = [("short", 0.0), ("long", arrivals_sec[-1])]
    assert [each[1:] for each in sweep.requests] == [
        (text_for(texts, index), 5 + index) for texts, _ in starts for index in range(3)
    ]
    assert [at_sec for at_sec, *_ in sweep.requests] == pytest.approx(
        [start_sec + arrival_sec for _, start_sec in starts for arrival_sec in arrivals_sec]
    )
    assert levels[0].summary.largest_send_delay_sec == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "num_requests"),
    [
        ({"num_requests": None}, 60),
        ({"num_requests": None, "duration_sec": 10.0}, 16),
        ({"num_requests": 4}, 4),
    ],
)
async def test_the_number_of_requests_at_a_rate(
    changes: dict[str, float | None], num_requests: int
) -> None:
    """By default those of 30 s; in a duration, as many as this seed draws."""
    sweep = Sweep()
    options = replace(OPTIONS, rates_per_sec=(2.0,), **changes)  # type: ignore[arg-type]
    await sweep.run(options)
    assert len(sweep.requests) == num_requests


async def test_every_round_has_the_same_requests() -> None:
    sweep = Sweep()
    (measured,) = await sweep.run(replace(OPTIONS, rates_per_sec=(2.0,), rounds=2))
    assert len(measured.rounds) == 2
    first, second = sweep.requests[:3], sweep.requests[3:]
    assert [each[1:] for each in first] == [each[1:] for each in second]
    start_sec = second[0][0]
    assert [at_sec - start_sec for at_sec, *_ in second] == pytest.approx(
        [at_sec for at_sec, *_ in first]
    )

"""The requests of a sweep, in virtual time."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx2
import pytest

from orpheus_server.bench.client.speech import SpeechClient, Target
from orpheus_server.bench.client.texts import TextLength, text_for
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.open_loop import arrival_times
from orpheus_server.bench.speech.options import Options
from orpheus_server.bench.speech.report import LevelReport
from orpheus_server.bench.speech.sweep import Clients, ServerName, run_bursts, run_sweep
from tests.bench.scripted_server import SOUND
from tests.bench.virtual_time import VirtualTime

pytestmark = pytest.mark.anyio

OPTIONS = Options(
    target=Target("http://server"),
    peer=None,
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
class Request:
    """A request that a server received."""

    server: str
    at_sec: float
    """Since the start of the test."""

    text: str
    seed: int


@dataclass
class Servers:
    """Runs loads on one server or two, and records all requests in their order."""

    names: Sequence[ServerName] = ("own",)
    duration_sec: float = 0.0
    """Of a response."""

    time: VirtualTime = field(default_factory=VirtualTime)
    requests: list[Request] = field(default_factory=list)

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[Clients]:
        async with AsyncExitStack() as stack:
            yield {name: await stack.enter_async_context(self._client(name)) for name in self.names}

    def _client(self, name: ServerName) -> SpeechClient:
        def respond(request: httpx2.Request) -> httpx2.Response:
            body = json.loads(request.content)
            at_sec = self.time.now_sec - 100.0
            self.requests.append(Request(name, at_sec, body["input"], body["seed"]))
            return httpx2.Response(200, stream=Body(self.time, self.duration_sec))

        return SpeechClient(
            Target(f"http://{name}"),
            clock=self.time.clock,
            sleep=self.time.sleep,
            transport=httpx2.MockTransport(respond),
        )

    async def sweep(self, options: Options) -> Sequence[LevelReport]:
        async with self.clients() as clients:
            return await run_sweep(options, clients, clock=self.time.clock, sleep=self.time.sleep)


async def test_users() -> None:
    servers = Servers(duration_sec=0.25)
    options = replace(OPTIONS, concurrency=(1, 2), num_requests=None, stagger_sec=0.5)
    levels = await servers.sweep(options)
    assert [each.level for each in levels] == [Level("short", 1), Level("short", 2)]
    assert [each.summary.num_requests for each in levels] == [8, 8]
    assert levels[0].summary.largest_send_delay_sec is None


async def test_a_rate() -> None:
    """Every text length has the arrivals, and every request the text and seed of its index."""
    servers = Servers()
    levels = await servers.sweep(replace(OPTIONS, texts=("short", "long"), rates_per_sec=(2.0,)))
    assert [each.level.rate_per_sec for each in levels] == [2.0, 2.0]
    arrivals_sec = arrival_times(2.0, seed=5, num_requests=3)
    starts: list[tuple[TextLength, float]] = [("short", 0.0), ("long", arrivals_sec[-1])]
    assert [(each.text, each.seed) for each in servers.requests] == [
        (text_for(texts, index), 5 + index) for texts, _ in starts for index in range(3)
    ]
    assert [each.at_sec for each in servers.requests] == pytest.approx(
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
    servers = Servers()
    options = replace(OPTIONS, rates_per_sec=(2.0,), **changes)  # type: ignore[arg-type]
    await servers.sweep(options)
    assert len(servers.requests) == num_requests


def assert_same_requests(requests: Sequence[Request], others: Sequence[Request]) -> None:
    """Texts, seeds, and times since the first request are the same."""
    assert [(each.text, each.seed) for each in requests] == [
        (each.text, each.seed) for each in others
    ]
    assert [each.at_sec - requests[0].at_sec for each in requests] == pytest.approx(
        [each.at_sec - others[0].at_sec for each in others]
    )


async def test_every_round_has_the_same_requests() -> None:
    servers = Servers()
    (measured,) = await servers.sweep(replace(OPTIONS, rates_per_sec=(2.0,), rounds=2))
    assert (len(measured.rounds), measured.peer_rounds) == (2, ())
    assert_same_requests(servers.requests[:3], servers.requests[3:])


class TestPeer:
    async def test_the_servers_take_turns_and_the_order_rotates(self) -> None:
        servers = Servers(("own", "peer"), duration_sec=0.25)
        options = replace(OPTIONS, concurrency=(1, 2), rounds=3, num_requests=1)
        levels = await servers.sweep(options)
        assert [each.server for each in servers.requests] == [
            *("own", "peer", "own", "peer"),
            *("peer", "own", "peer", "own"),
            *("own", "peer", "own", "peer"),
        ]
        assert [(len(each.rounds), len(each.peer_rounds)) for each in levels] == [(3, 3)] * 2

    async def test_both_get_the_same_arrivals(self) -> None:
        servers = Servers(("own", "peer"))
        await servers.sweep(replace(OPTIONS, rates_per_sec=(2.0,), rounds=2))
        own, peer, peer_again, own_again = (
            servers.requests[first : first + 3] for first in range(0, 12, 3)
        )
        assert [each[0].server for each in (own, peer, peer_again, own_again)] == [
            *("own", "peer", "peer", "own")
        ]
        for others in (peer, peer_again, own_again):
            assert_same_requests(own, others)

    async def test_progress_names_the_server(self, capsys: pytest.CaptureFixture[str]) -> None:
        servers = Servers(("own", "peer"), duration_sec=0.25)
        await servers.sweep(replace(OPTIONS, concurrency=(1,), num_requests=1))
        assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
            "round 1/1, short, 1 users, own",
            "round 1/1, short, 1 users, peer",
        ]

    async def test_bursts_take_turns(self) -> None:
        servers = Servers(("own", "peer"), duration_sec=0.25)
        async with servers.clients() as clients:
            bursts = await run_bursts(
                replace(OPTIONS, num_bursts=3), clients, num_users=1, num_sentences=2
            )
        assert [(each.server, each.seed) for each in servers.requests] == [
            *(("own", 5), ("peer", 5)),
            *(("peer", 6), ("own", 6)),
            *(("own", 7), ("peer", 7)),
        ]
        assert servers.requests[0].text == servers.requests[1].text
        assert [len(bursts[server]) for server in ("own", "peer")] == [3, 3]

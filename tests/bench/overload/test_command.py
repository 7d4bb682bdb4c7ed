"""Listeners at half, full and twice the capacity, and their statistics."""

import argparse
import asyncio
import json
from collections.abc import Callable

import numpy as np
import pytest

from orpheus_server.bench import command
from orpheus_server.bench.client.exchange import Exchange
from orpheus_server.bench.client.http_caller import HttpCaller
from orpheus_server.bench.client.speech import Target
from orpheus_server.bench.overload import command as overload
from orpheus_server.bench.overload.command import Listeners, Options, user_counts
from orpheus_server.bench.overload.stats import (
    Listened,
    OverloadStats,
    overload_stats,
    overload_table,
    queue_sec_of,
)
from orpheus_server.bench.report import Percentiles
from orpheus_server.bench.soak.result import SoakResult
from orpheus_server.concurrency import WorkerPool
from tests.bench.builders import REQUEST_ID, SECOND, envelope, exchange, soak_result
from tests.bench.scripted_server import Script, ScriptedApp, serve_script

REFUSED = SoakResult("pcm", "refused", 0.5, retry_after_sec=5)


def served(started_sec: float, *pieces: tuple[float, int], queue_ms: str | None = None) -> Listened:
    headers = {} if queue_ms is None else {"x-orpheus-queue-ms": queue_ms}
    sizes = [(at_sec, seconds * len(SECOND)) for at_sec, seconds in pieces]
    return Listened(
        exchange(b"", headers=headers, started_sec=started_sec, pieces=sizes), soak_result()
    )


LISTENED = [
    served(
        8.0, (0.5, 1), (2.5, 2), queue_ms="0"
    ),  # starts before the window, has two seconds in it
    served(10.0, (0.5, 3), queue_ms="250"),
    served(12.0, (1.0, 1), (2.5, 1), (4.0, 1), queue_ms="500"),
    served(19.5, (0.25, 2), (2.0, 1), queue_ms="250"),  # its last second arrives after the window
    Listened(exchange(b"", status=503, started_sec=13.0), REFUSED),
    Listened(exchange(b"", status=500, started_sec=14.0), SoakResult("pcm", "failed", 1.0, "500")),
    served(20.0, (0.5, 9)),
]

# numpy's exact interpolation between 0.25 and 0.5.
QUEUE_P95_SEC, QUEUE_P99_SEC = (float(np.percentile([0.25, 0.25, 0.5], p)) for p in (95, 99))


def test_user_counts() -> None:
    assert user_counts(8) == (4, 8, 16)
    assert user_counts(1) == (1, 2)


def test_stats() -> None:
    stats = overload_stats(LISTENED, num_users=6, window=(10.0, 20.0), health_sec=[0.002, 0.004])
    assert (stats.num_users, stats.num_served, stats.num_refused, stats.num_failed) == (6, 3, 1, 1)
    assert stats.failures == {"500": 1}
    assert stats.first_audio_sec == Percentiles(0.5, 0.95, 0.99)
    assert stats.queue_sec == Percentiles(0.25, QUEUE_P95_SEC, QUEUE_P99_SEC)
    assert stats.from_admission_sec == Percentiles(0.25, QUEUE_P95_SEC, QUEUE_P99_SEC)
    # Of the three served, the second stalls for 0.5 s twice; the third starts with 2 s of audio.
    assert (stats.num_underrun_streams, stats.num_stalls, stats.stalled_sec) == (1, 2, 1.0)
    assert stats.audio_sec_per_sec == 1.0
    lines = overload_table([stats]).splitlines()
    assert len(lines[0]) == len(lines[1])
    assert lines[1].split() == [
        *("6", "3", "1", "1", "500/950/990", "250/475/495", "250/475/495"),
        *("1", "2", "1000", "1.0", "4"),
    ]


def test_a_server_without_the_queue_header() -> None:
    stats = overload_stats([served(0.0, (0.5, 1))], num_users=1, window=(0.0, 1.0), health_sec=[])
    assert (stats.queue_sec, stats.from_admission_sec, stats.health_sec) == (None, None, None)
    assert overload_table([stats]).splitlines()[1].split()[5:7] == ["-", "-"]


@pytest.mark.parametrize(
    ("header", "queue_sec"),
    [("250", 0.25), ("0", 0.0), ("12.5", 0.0125), ("-1", None), ("nan", None), ("", None)],
)
def test_the_queue_header(header: str, queue_sec: float | None) -> None:
    assert queue_sec_of({"x-orpheus-queue-ms": header}) == queue_sec


class ScriptedCaller(HttpCaller):
    """Answers in half a second of virtual time."""

    def __init__(self, answer: Callable[[float], Exchange]) -> None:
        self.now_sec = 100.0
        self._answer = answer

    async def post(self, *_: object, **__: object) -> Exchange:
        found = self._answer(self.now_sec)
        self.now_sec += 0.5
        return found

    async def get(self, path: str, *, timeout_sec: float) -> Exchange:
        await asyncio.Event().wait()
        raise AssertionError("only /health is requested, which never answers here")

    async def sleep(self, wait_sec: float) -> None:
        self.now_sec += wait_sec


async def listen(answer: Callable[[float], Exchange]) -> OverloadStats:
    """Runs one listener for 30 s after a ramp of 10 s."""
    caller, pool = ScriptedCaller(answer), WorkerPool(1)
    options = Options(Target("http://server"), None, round_sec=30.0, ramp_sec=10.0, seed=1)
    try:
        listeners = Listeners(
            caller, options, pool=pool, clock=lambda: caller.now_sec, sleep=caller.sleep
        )
        return await listeners.run(1)
    finally:
        await pool.close()


@pytest.mark.anyio
class TestListeners:
    async def test_one_request_after_the_other(self) -> None:
        """Each takes half a second: sixty start in the window."""
        stats = await listen(lambda now_sec: exchange(SECOND * 9, started_sec=now_sec))
        assert (stats.num_served, stats.num_refused, stats.num_failed) == (60, 0, 0)
        assert stats.audio_sec_per_sec == 18.0

    async def test_a_refused_listener_waits_for_retry_after(self) -> None:
        """A request every 5.5 s: at 11, 16.5, 22, 27.5, 33 and 38.5 s."""
        refusal = {**REQUEST_ID, "retry-after": "5"}
        stats = await listen(
            lambda now_sec: exchange(envelope(), status=503, headers=refusal, started_sec=now_sec)
        )
        assert (stats.num_served, stats.num_refused, stats.num_failed) == (0, 6, 0)
        assert stats.audio_sec_per_sec == 0.0


def run(url: str, *arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="orpheus-server bench")
    command.add_arguments(parser)
    parsed = parser.parse_args([url, "--overload", "--round-sec=0.3", *arguments])
    return overload.run(parsed, ramp_sec=0.0)


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    app = ScriptedApp(lambda body: Script([SECOND] * 9, headers={"x-orpheus-queue-ms": "0"}))
    with serve_script(app) as url:
        assert run(url, "--capacity=2", "--api-key=secret") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[3] == "capacity: 2 streams"
    assert [line.split()[0] for line in lines[5:8]] == ["1", "2", "4"]
    document = json.loads(lines[-1])
    assert document["benchmark"] == "overload"
    assert document["num_failed"] == 0
    assert "secret" not in captured.out + captured.err
    assert len(app.bodies) >= 1 + 2 + 4
    assert all(body["stream"] is True for body in app.bodies)
    assert app.headers[0][b"authorization"] == b"Bearer secret"


def test_failures_exit_with_1() -> None:
    app = ScriptedApp(lambda body: Script([b"no"], status=500))
    with serve_script(app) as url:
        assert run(url, "--capacity=1") == 1


def test_an_unknown_capacity(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_script(ScriptedApp()) as url:
        assert run(url) == 2
    assert capsys.readouterr().err.endswith("the capacity is unknown; set --capacity.\n")


def test_an_unreachable_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_script(ScriptedApp()) as url:
        pass
    assert run(url) == 1
    assert "does not answer" in capsys.readouterr().err


def test_ctrl_c_ends_it_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(overload, "_measure", stop)
    assert run("http://127.0.0.1:9") == 130

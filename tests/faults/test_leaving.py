"""Clients of a real server that leave, or that stay and read nothing."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.callers import Answer, Listener
from tests.faults.conftest import FORMATS, LIMITS, Record, warm
from tests.faults.fault_server import BEN, BOOK, PAGE, FaultServer
from tests.support.served import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NUM_LEAVING = 200
ABORT_LIMIT_SEC = 1.0

# Bytes of about a second of audio.
MOST_BYTES = {"wav": 50_000, "pcm": 50_000, "flac": 25_000, "mp3": 5_000, "aac": 5_000}
MOST_BYTES |= {"opus": 4_000, "sse": 70_000}


def seconds_until_free(server: FaultServer) -> float:
    """Returns how long the engine takes to finish or abort its requests."""
    started = time.monotonic()
    wait_until(lambda: not server.num_active(), limit_sec=30, pause_sec=0.005)
    return time.monotonic() - started


def test_leaving_during_the_answer(server: FaultServer, record: Record) -> None:
    """The engine kept generating for clients that had left."""
    random_source = random.Random(12)
    ways: list[tuple[str, dict[str, Any]]] = [
        (name, {"response_format": name, "stream": True}) for name in FORMATS
    ]
    ways.append(("sse", {"stream_format": "sse"}))
    with record(server, "12", f"{NUM_LEAVING} callers leave at a random byte, 7 ways") as case:
        free_sec = []
        for index in range(NUM_LEAVING):
            name, fields = ways[index % len(ways)]
            with server.listen(input=PAGE, **fields) as listener:
                assert listener.take(1 + random_source.randrange(MOST_BYTES[name])) > 0
                listener.leave(with_reset=index % 2 == 0)
            free_sec.append(seconds_until_free(server))
            case.saw(name)
        free_sec.sort()
        case.note(f"engine free after {free_sec[100]:.3f} s (median), {free_sec[-1]:.3f} s (most)")
        assert free_sec[-1] <= ABORT_LIMIT_SEC


def fill(server: FaultServer, stack: ExitStack) -> Listener:
    """Opens streams until all slots are taken; returns the first that has to wait."""
    for _ in range(100):
        listener = stack.enter_context(server.listen(input=PAGE))
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            if server.gauges()["requests_active.queued"]:
                return listener
    raise AssertionError("nobody had to wait")


def test_leaving_before_the_first_byte(server: FaultServer, record: Record) -> None:
    with record(server, "13", "callers leave in the line, and while their file is made") as case:
        with ExitStack() as stack:
            waiting = fill(server, stack)
            started = time.monotonic()
            waiting.leave(with_reset=False)
            wait_until(lambda: not server.gauges()["requests_active.queued"], limit_sec=5)
            left_sec = time.monotonic() - started
            case.note(f"out of the line after {left_sec:.3f} s")
        free_sec = seconds_until_free(server)
        case.note(f"its neighbours left: engine free after {free_sec:.3f} s")
        assert max(left_sec, free_sec) <= ABORT_LIMIT_SEC
        worst_sec = 0.0
        for index, name in enumerate(FORMATS):
            fields: dict[str, Any] = {"input": PAGE, "response_format": name, "stream": False}
            with server.listen(**fields) as listener:
                wait_until(lambda: server.num_active() > 0, limit_sec=20)
                listener.leave(with_reset=index % 2 == 0)
            worst_sec = max(worst_sec, seconds_until_free(server))
        case.note(f"{len(FORMATS)} files: engine free after {worst_sec:.3f} s at most")
        assert worst_sec <= ABORT_LIMIT_SEC


@pytest.fixture
def high_capacity(tmp_path: Path) -> Iterator[FaultServer]:
    """A server that admits sixteen streams regardless of its measured capacity."""
    limits: dict[str, Any] = {
        **LIMITS,
        "TTS_MAX_STREAMS": "32",
        "TTS_QUEUE_WAIT_SEC": "30",
        "TTS_REQUEST_TIMEOUT_SEC": "300",
    }
    with FaultServer(tmp_path, **limits) as server:
        warm(server)
        yield server


def first_sec(server: FaultServer, key: str = BEN) -> float:
    """Returns the seconds until the first audio of a request."""
    answer = server.ask(key)
    assert (answer.status, answer.is_whole) == (200, True), answer.summary
    return answer.first_sec


def stall(server: FaultServer) -> tuple[list[Answer], list[float]]:
    """Opens sixteen streams that are not read.

    Returns their answers, and the first audio times of another caller in the meantime.
    """
    # At the lowest speed a second of speech becomes four of audio, which fills the buffers of the
    # operating system, some megabytes per connection, sooner.
    fields: dict[str, Any] = {"input": BOOK, "speed": 0.25, "stream_format": "sse"}
    started = time.monotonic()
    beside: list[float] = []
    with ExitStack() as stack:
        stalled = [
            stack.enter_context(server.listen(receive_bytes=4096, **fields)) for _ in range(16)
        ]
        # They soon lose their slots in the engine, and are cut off later.
        while server.busy() or len(beside) < 3:
            beside.append(first_sec(server))
            assert time.monotonic() < started + 150, "they are never cut off"
        return [each.rest() for each in stalled], sorted(beside)


def test_clients_that_read_nothing(high_capacity: FaultServer, record: Record) -> None:
    """The server kept their audio in memory, and their slots."""
    before_bytes = high_capacity.rss_bytes()
    stall(high_capacity)
    # Neither half an hour of speech nor sixteen concurrent streams were part of the warm-up.
    first_mb = (high_capacity.rss_bytes() - before_bytes) / 1e6
    high_capacity.base = high_capacity.held()
    with record(
        high_capacity, "14", "16 callers ask for half an hour of sound, read nothing"
    ) as case:
        case.note(f"memory {first_mb:+.1f} MB by the first sixteen, then this")
        alone = sorted(first_sec(high_capacity) for _ in range(5))
        started = time.monotonic()
        answers, beside = stall(high_capacity)
        case.note(f"all cut off after {time.monotonic() - started:.1f} s")
        case.note(f"memory {case.grown_mb:+.1f} MB at most")
        case.note(
            f"first sound of another caller {alone[2]:.2f} s alone, "
            f"{beside[len(beside) // 2]:.2f} s beside them (most {beside[-1]:.2f} s)"
        )
        for answer in answers:
            case.saw(answer)
            assert not answer.is_whole
        assert max(first_mb, case.grown_mb) <= 16 * 8

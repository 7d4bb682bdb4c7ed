"""Requests that exceed their time limit because the engine is suspended for a while."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import LIMITS, Record, warm
from tests.faults.fault_server import BEN, BOOK, SECRET_WORD, FaultServer
from tests.support.served import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

LIMIT_SEC = 2
SHORT = f"The {SECRET_WORD}."


@pytest.fixture
def short_limits(tmp_path: Path) -> Iterator[FaultServer]:
    """A server whose requests may take two seconds and wait half a second in the queue."""
    limits: dict[str, Any] = {
        **LIMITS,
        "TTS_REQUEST_TIMEOUT_SEC": str(LIMIT_SEC),
        "TTS_MAX_STREAMS": "2",
        "TTS_QUEUE_WAIT_SEC": "0.5",
        "TTS_ENGINE_STALL_SEC": "60",
    }
    with FaultServer(tmp_path, **limits) as server:
        warm(server)
        yield server


@contextmanager
def frozen(server: FaultServer) -> Iterator[None]:
    core = server.core()
    core.suspend()
    try:
        yield
    finally:
        core.resume()


def test_requests_time_out_while_the_engine_is_suspended(
    short_limits: FaultServer, record: Record
) -> None:
    server = short_limits
    with record(server, "20", f"at most {LIMIT_SEC} s each; the engine stands still") as case:
        core = server.core().pid
        with frozen(server), ThreadPoolExecutor(3) as callers:
            ways: tuple[dict[str, Any], ...] = ({}, {"stream": False}, {"stream_format": "sse"})
            for way in ways:
                answer = server.ask(**way)
                case.saw(answer)
                assert (answer.status, answer.error["code"]) == (504, "timeout")
                assert answer.total_sec < LIMIT_SEC + 1
            held = [callers.submit(server.ask) for _ in range(2)]
            wait_until(lambda: server.gauges()["requests_active.generating"] == 2, limit_sec=5)
            late = server.ask(BEN)
            case.saw(late)
            assert (late.status, late.error["code"]) == (503, "server_is_overloaded")
            case.note(f"who waits is told after {late.total_sec:.2f} s")
            for each in held:
                assert each.result().status == 504
        cut = server.ask(input=BOOK)
        case.saw(cut)
        case.note(f"a stream ends after {cut.total_sec:.2f} s and {len(cut.body)} bytes")
        assert cut.status == 200
        assert not cut.is_whole
        assert cut.total_sec < LIMIT_SEC + 1.5
        events = server.ask(input=BOOK, stream_format="sse")
        assert not events.is_whole
        last = json.loads(events.body.decode().rstrip().rpartition("data: ")[2])
        case.saw(f"SSE: last event {last['error']['code']}")
        assert last["error"]["code"] == "timeout"
        assert server.core().pid == core

"""Successful requests leave no resources in use."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.conftest import FORMATS, Record
from tests.faults.fault_server import SECRET_WORD, FaultServer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NUM_REQUESTS = 500
TEXTS = [f"One {SECRET_WORD}.", f"The {SECRET_WORD} is here.", f"Is it {SECRET_WORD} or gold?"]


def test_five_hundred_requests(server: FaultServer, record: Record) -> None:
    def ask(index: int) -> Any:
        fields: dict[str, Any] = {"input": TEXTS[index % len(TEXTS)]}
        fields["response_format"] = FORMATS[index % len(FORMATS)]
        if index % 7 == 0:
            fields["stream_format"] = "sse"
        elif index % 5 == 0:
            fields["stream"] = index % 10 == 0
        return server.ask_patiently(**fields)

    before_bytes = server.rss_bytes()
    with (
        record(server, "25 memory", f"{NUM_REQUESTS} requests in all formats, 8 at once") as case,
        ThreadPoolExecutor(8) as callers,
    ):
        started = time.monotonic()
        for answer in callers.map(ask, range(NUM_REQUESTS)):
            case.saw(answer)
            assert (answer.status, answer.is_whole) == (200, True)
        grown = server.rss_bytes() / before_bytes - 1
        case.note(f"in {time.monotonic() - started:.0f} s; memory {100 * grown:+.1f} %")
        assert grown < 0.05

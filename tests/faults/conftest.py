"""The server that most cases share, and the table at the end of the run."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

from tests.faults.case import Case
from tests.faults.fault_server import PAGE, FaultServer
from tests.faults.rows import ROWS, Row, markdown

FORMATS = ("wav", "pcm", "mp3", "opus", "aac", "flac")
LIMITS: dict[str, Any] = {
    "TTS_CLIENT_STALL_SEC": "3",
    "TTS_RECEIVE_TIMEOUT_SEC": "2",
    "TTS_QUEUE_WAIT_SEC": "2",
    "TTS_REQUEST_TIMEOUT_SEC": "20",
}

Record = Callable[..., Case]


def warm(server: FaultServer, *, num_requests: int = 24, num_long: int = 0) -> None:
    """Requests every format in every way concurrently, so that everything lazy has been created."""
    ways: list[dict[str, Any]] = [{"response_format": name} for name in FORMATS]
    ways += [{**way, "stream": way["response_format"] == "wav"} for way in ways]
    ways += [{"stream_format": "sse"}, {"speed": 1.5}]
    wanted = [ways[index % len(ways)] for index in range(num_requests)]
    wanted += [{**ways[index % len(ways)], "input": PAGE[:150]} for index in range(num_long)]
    with ThreadPoolExecutor(12) as callers:
        pending = [callers.submit(server.ask_patiently, **fields) for fields in wanted]
        assert {each.result().status for each in pending} == {200}
    for index in range(2 * num_long):
        # A long text whose client leaves needs more memory than any short one.
        with server.listen(input=PAGE, **ways[index % len(FORMATS)]) as listener:
            listener.take(1000)
    server.get("/openapi.json")
    server.base = server.held()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    """Most cases share this server, so each must leave it as it was."""
    with FaultServer(tmp_path_factory.mktemp("server"), **LIMITS) as server:
        warm(server, num_long=14)
        yield server


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """The rows of this run's table."""
    rows: list[Row] = request.config.stash.setdefault(ROWS, [])
    return rows


@pytest.fixture
def record(rows: list[Row]) -> Record:
    """Starts a case: `with record(server, "12", "what is done") as case`."""

    def begin(server: FaultServer, number: str, done: str, **options: Any) -> Case:
        return Case(rows, server, number, done, **options)

    return begin


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Prints the table."""
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("faults")
        terminalreporter.write_line(markdown(rows))

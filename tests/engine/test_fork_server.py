"""Processes that are copies of one that has imported vLLM."""

import json
import signal
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from orpheus_server.engine import fork_server
from orpheus_server.engine.fork_context import EngineContext
from orpheus_server.engine.fork_server import start_fork_server
from tests.support.process_facts import write_facts

VARIABLE = "ORPHEUS_TEST_VARIABLE"


@pytest.fixture(autouse=True)
def _has_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests of chat leave engines running, and a fork server ends after all of its copies:
    `make test-full` waited for that one forever.
    """
    own = forkserver.ForkServer()
    for name in ("ensure_running", "connect_to_new_process", "set_forkserver_preload"):
        monkeypatch.setattr(forkserver, name, getattr(own, name))
    # vLLM itself takes seconds to import.
    monkeypatch.setattr(fork_server, "PRELOADED", ("tests.support.process_facts",))
    yield
    own._stop()  # type: ignore[attr-defined]


def servers() -> set[psutil.Process]:
    return {each for each in psutil.Process().children() if "forkserver" in str(each.cmdline())}


def test_a_copy_has_the_environment_of_its_start_and_a_title(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An engine's process is found by its title, which a changed environment had hidden."""
    monkeypatch.setenv(VARIABLE, "old")
    start_fork_server()
    monkeypatch.setenv(VARIABLE, "new")
    path = tmp_path / "facts"
    process = EngineContext().Process(
        target=write_facts, name="Test", kwargs={"path": path, "variable": VARIABLE}
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert json.loads(path.read_text()) == {
        "variable": "new",
        "title": "VLLM::Test",
        "ignores_interrupts": True,
    }


def test_it_is_started_once() -> None:
    others = servers()
    start_fork_server()
    first = servers() - others
    assert len(first) == 1
    start_fork_server()
    assert servers() - others == first


def test_this_process_can_still_be_interrupted() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    start_fork_server()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before

"""The reaper and the orphans of a killed server, with real processes that only sleep."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from orpheus_server.engine import reaper
from orpheus_server.engine.reaper import OrphanReaper, ProcessKey
from tests.support.served import wait_until

# A server that starts an engine with a worker, prints their process ids and waits.
WORKER = "import time; time.sleep(600)"
ENGINE = f"""
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-I", "-S", "-c", {WORKER!r}])
print(worker.pid, flush=True)
time.sleep(600)
"""
SERVER = f"""
import subprocess, sys, time
from orpheus_server.engine.reaper import OrphanReaper
engine = subprocess.Popen([sys.executable, "-I", "-S", "-c", {ENGINE!r}], stdout=subprocess.PIPE)
reaper = OrphanReaper()
print(engine.pid, int(engine.stdout.readline()), reaper._process.pid, flush=True)
if sys.stdin.readline() == "close\\n":
    reaper.close()
    print("closed", flush=True)
    sys.stdin.readline()
"""


class Server:
    """The process of `SERVER`, with its engine, worker and reaper."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        self.engine, self.worker, self.reaper = map(psutil.Process, map(int, self.line().split()))

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    @property
    def left(self) -> list[psutil.Process]:
        return [each for each in (self.engine, self.worker) if lives(each)]

    def wait_until_seen(self) -> None:
        """Waits for the reaper's first scan of the processes: it ignores signals from then on."""
        wait_until(lambda: psutil.pid_exists(self.reaper.pid) and ignores_sigterm(self.reaper.pid))
        # After the scan it sleeps in `select`.
        wait_until(lambda: self.reaper.status() == psutil.STATUS_SLEEPING)


def ignores_sigterm(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return bool(int(fields["SigIgn"], 16) & 1 << (signal.SIGTERM - 1))


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextmanager
def served() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        for process in (server.engine, server.worker, server.reaper):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.process.kill()
        server.process.communicate()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_nothing_outlives_a_killed_server(is_stopped: bool) -> None:
    """The engine and its workers kept the GPU's memory for minutes."""
    with served() as server:
        server.wait_until_seen()
        if is_stopped:
            server.engine.suspend()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not server.left and not lives(server.reaper))


def test_a_closed_reaper_kills_nothing() -> None:
    with served() as server:
        server.wait_until_seen()
        server.say("close")
        assert server.line() == "closed\n"
        assert not lives(server.reaper)
        server.process.kill()
        server.process.wait()
        assert len(server.left) == 2


def test_it_ignores_the_terminal_and_keeps_no_resources_of_the_server() -> None:
    with served() as server:
        server.wait_until_seen()
        assert os.getsid(server.reaper.pid) == server.reaper.pid != os.getsid(server.process.pid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            server.reaper.send_signal(number)
        assert server.reaper.cwd() == "/"
        assert server.reaper.net_connections() == []
        descriptors = sorted(map(int, os.listdir(f"/proc/{server.reaper.pid}/fd")))
        assert descriptors == [0, 1, 2]
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not server.left)


def test_a_reused_id_is_another_process() -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", WORKER]) as process:
        found = reaper.read_stat(process.pid)
        assert found is not None
        key = found[0]
        assert (key.pid, found[1]) == (process.pid, os.getpid())
        earlier = ProcessKey(key.pid, key.started_at - 1)
        assert (reaper.is_running(key), reaper.is_running(earlier)) == (True, False)
        reaper.kill(earlier)
        assert process.poll() is None
        reaper.kill(key)
        # It is a zombie until it is waited for: it no longer holds any resources.
        wait_until(lambda: not reaper.is_running(key))
        assert key in reaper.descendants({os.getpid()})
    assert reaper.read_stat(key.pid) is None
    reaper.kill(key)


def test_resource_trackers_are_recognised_by_their_command() -> None:
    code = "resource_tracker = 0; " + WORKER
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", code]) as process:
        found = reaper.read_stat(process.pid)
        assert found is not None
        wait_until(lambda: reaper.is_tracker(found[0]))
        process.kill()
    assert not reaper.is_tracker(found[0])


def test_a_reaper_that_cannot_start_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    OrphanReaper().close()
    assert "the engine will keep running if this server is killed" in caplog.text


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_not_watched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, platform: str
) -> None:
    """They have no /proc, and no engine there starts processes."""
    caplog.set_level("INFO", "orpheus_server")
    before = psutil.Process().children()
    monkeypatch.setattr(sys, "platform", platform)
    reaper = OrphanReaper()
    assert psutil.Process().children() == before
    reaper.close()
    assert f"child processes are not watched on {platform}" in caplog.text

"""A real server under load that is killed, or whose engine is killed or stopped."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.rows import Row
from tests.support.served import wait_until
from tests.support.server_process import ServerProcess, is_alive

pytestmark = [pytest.mark.engine, pytest.mark.slow]

NUM_USERS = 12
STALL_SEC = 3
PAGE = "The quick brown fox jumps over the lazy dog, and then it sleeps until noon. " * 20
LIMIT_SEC = 240.0


def lose_under_load(
    server: ServerProcess,
    strike: Callable[[psutil.Process], None],
    rows: list[Row],
    *,
    limit_sec: float,
) -> None:
    """Strikes the core under load: requests must end in time, and the server must recover."""
    core = server.core()
    with ThreadPoolExecutor(NUM_USERS) as users:
        begun = [users.submit(server.speak, PAGE) for _ in range(NUM_USERS)]
        wait_until(lambda: server.num_active() >= NUM_USERS, limit_sec=60, pause_sec=0.05)
        struck_at = time.monotonic()
        strike(core)
        wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=limit_sec)
        not_ready_sec = time.monotonic() - struck_at
        assert server.status("/ready") == (503, "30")
        assert server.status("/health")[0] == 200
        heard = [each.result() for each in begun]
    took_sec = sorted(each.ended_at - struck_at for each in heard)
    recovered_sec = server.wait_ready()
    summary = Counter("200 cut" if each.status == 200 else str(each.status) for each in heard)
    seen = (
        ", ".join(f"{num} x {label}" for label, num in sorted(summary.items()))
        + f"; /ready 503 after {not_ready_sec:.3f} s, /health 200, requests ended after "
        f"{took_sec[0]:.2f} to {took_sec[-1]:.2f} s, ready again {recovered_sec:.0f} s later"
    )
    assert took_sec[-1] <= limit_sec
    assert {each.status for each in heard} <= {200, 503}
    assert not any(each.status == 200 and each.is_whole for each in heard)
    assert not is_alive(core)
    again = server.speak("Good morning.")
    assert (again.status, again.is_whole) == (200, True)
    assert again.num_bytes > 20_000
    number = "22" if strike is freeze else "21"
    done = f"{strike.__doc__}, {NUM_USERS} in flight"
    rows.append(Row(number, done, seen, f"{took_sec[-1]:.2f} s", answers_after="200"))


def kill(core: psutil.Process) -> None:
    """kill -9 of the engine's core"""
    core.kill()


def freeze(core: psutil.Process) -> None:
    """SIGSTOP of the engine's core"""
    core.suspend()


def test_an_engine_that_dies_or_freezes_is_restarted(tmp_path: Path, rows: list[Row]) -> None:
    """All requests hung when the engine froze; when it died, the server had to be restarted."""
    # High enough to admit all requests on a slow machine.
    limits: dict[str, Any] = {"TTS_ENGINE_STALL_SEC": str(STALL_SEC), "TTS_MAX_STREAMS": "64"}
    with ServerProcess(tmp_path, **limits) as server:
        lose_under_load(server, kill, rows, limit_sec=2)
        lose_under_load(server, freeze, rows, limit_sec=STALL_SEC + 2)
        server.core().suspend()
        started = time.monotonic()
        wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=60, pause_sec=0.05)
        seen = f"/ready 503 after {time.monotonic() - started:.1f} s"
        seen += f", ready again {server.wait_ready():.0f} s later"
        rows.append(Row("22 idle", "freeze the core while nobody asks for anything", seen))
        # Like Ctrl-C in a terminal: the engine's processes receive it too.
        os.killpg(server.process.pid, signal.SIGINT)
        started = time.monotonic()
        assert server.process.wait(60) == 0
        seen = f"exit status 0 after {time.monotonic() - started:.1f} s, no process left"
        wait_until(lambda: not server.descendants(), limit_sec=5)
        rows.append(Row("24 Ctrl-C", "SIGINT to all of its processes", seen))


@pytest.mark.parametrize("is_loading", [False, True])
def test_a_killed_server_leaves_no_processes(
    tmp_path: Path, rows: list[Row], is_loading: bool
) -> None:
    """Its engine kept running for minutes and held the memory that the next one needed."""
    server = ServerProcess(tmp_path)
    with server:
        if is_loading:
            server.core().kill()
            wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=10)
            # The next engine's process exists and is loading.
            wait_until(lambda: has_core(server), limit_sec=60, pause_sec=0.05)
            looked_at = time.monotonic()
            wait_until(lambda: time.monotonic() > looked_at + 2, pause_sec=0.1)
        left = server.descendants()
        assert len(left) >= 2
        server.process.kill()
        started = time.monotonic()
        wait_until(lambda: not any(map(is_alive, left)), limit_sec=10)
        seen = f"the last of {len(left)} processes ended {time.monotonic() - started:.1f} s later"
        if not is_loading:
            with ServerProcess(tmp_path, port=server.port) as next_one:
                assert next_one.speak("Good morning.").is_whole
            seen += "; the next one on the same port speaks"
        when = " while an engine loads" if is_loading else ""
        rows.append(Row("24 kill", f"kill -9 of the server{when}", seen))


def has_core(server: ServerProcess) -> bool:
    return any("VLLM::" in " ".join(each.cmdline()) for each in server.descendants())


def test_an_engine_that_keeps_dying_ends_the_server(tmp_path: Path, rows: list[Row]) -> None:
    """The server must exit, so that its own supervisor notices that it cannot become ready."""
    with ServerProcess(tmp_path, TTS_MAX_RESTARTS="1") as server:
        server.core().kill()
        wait_until(lambda: server.status("/ready")[0] == 503, limit_sec=10)
        server.wait_ready()
        server.core().kill()
        started = time.monotonic()
        assert server.process.wait(LIMIT_SEC) == 1
        seen = f"exit status 1 after {time.monotonic() - started:.1f} s, no process left"
        assert "the speech engine is lost after 1 restarts" in server.log.read_text()
        wait_until(lambda: not server.descendants(), limit_sec=10)
        rows.append(Row("21 loop", "kill the core twice, one restart allowed", seen))

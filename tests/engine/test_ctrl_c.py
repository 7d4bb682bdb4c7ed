"""Processes that Ctrl-C in a terminal does not reach."""

import signal
import subprocess
import sys
from multiprocessing import resource_tracker

from orpheus_server.engine.ctrl_c import ctrl_c_blocked

PROGRAM = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def is_blocked_in_child() -> bool:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    return {b"True\n": True, b"False\n": False}[done.stdout]


def test_only_processes_that_are_started_inside_ignore_it() -> None:
    """Engines that are started as programs of their own, as on CUDA, printed a traceback each."""
    with ctrl_c_blocked():
        assert is_blocked_in_child()
    assert not is_blocked_in_child()


def test_the_tracker_is_running_when_it_begins() -> None:
    """Its start unblocks the signal, so engines that need it first would have undone the block."""
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
    with ctrl_c_blocked():
        resource_tracker.ensure_running()
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

"""Real processes, killed in all ways."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.priority import descendants, private_memory_bytes
from training.processes import free_port, run_processes
from training.settings import ROOT

WAIT = (sys.executable, "-c", "import signal; signal.pause()")


def run(folder: Path, *codes: str, max_memory_gib: float = 4.0) -> None:
    run_processes(
        "codes",
        [(sys.executable, "-c", code) for code in codes],
        log=folder / "log",
        environment=os.environ,
        max_memory_gib=max_memory_gib,
        is_stopped=lambda: False,
    )


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    run(tmp_path, "print('one')")
    run(tmp_path, "print('two')")
    assert (tmp_path / "log").read_text() == "--- codes\none\n--- codes\ntwo\n"


def test_a_process_that_fails_ends_the_others_with_one_line(tmp_path: Path) -> None:
    waiting = "import os, signal; open('pid', 'w').write(str(os.getpid())); signal.pause()"
    failing = (
        "import os, sys\nwhile not os.path.exists('pid') or not open('pid').read(): pass\n"
        "print('training: the disk is full', file=sys.stderr); sys.exit(1)"
    )
    with pytest.raises(TrainingError) as raised:
        run(tmp_path, f"import os; os.chdir({str(tmp_path)!r})\n{waiting}",
            f"import os; os.chdir({str(tmp_path)!r})\n{failing}")  # fmt: skip
    assert str(raised.value) == (
        f"codes: a process ended with status 1: the disk is full (log: {tmp_path / 'log'})"
    )
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_a_killed_process_ends_the_run_with_one_line(tmp_path: Path) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(TrainingError) as raised:
        run(tmp_path, kill, "import signal; signal.pause()")
    assert str(raised.value) == f"codes: a process was ended by SIGKILL (log: {tmp_path / 'log'})"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no autogroups here")
def test_each_process_takes_the_least_share_of_the_cores(tmp_path: Path) -> None:
    # An idle process in a session of its own took as much of the cores as a busy session.
    # The file is empty for a process that belongs to no session's group, as in some containers.
    before = Path("/proc/self/autogroup").read_text()
    run(tmp_path, *["print(open('/proc/self/autogroup').read().split()[-1])"] * 2)
    assert (tmp_path / "log").read_text() == "--- codes\n19\n19\n"
    assert Path("/proc/self/autogroup").read_text() == before


def test_a_stop_request_is_passed_on(tmp_path: Path) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    log = tmp_path / "log"
    run_processes(
        "codes",
        [(sys.executable, "-c", code)],
        log=log,
        environment=os.environ,
        max_memory_gib=4.0,
        is_stopped=lambda: "ready" in log.read_text(),
    )
    assert log.read_text() == "--- codes\nready\nsaved\n"


def test_too_much_memory_ends_the_run(tmp_path: Path) -> None:
    code = "import signal; data = bytearray(b'x' * 100_000_000); signal.pause()"
    with pytest.raises(TrainingError, match=r"codes: holds \d\.\d GiB, TRAINING_MAX_MEMORY_GIB"):
        run(tmp_path, code, max_memory_gib=0.01)


def test_a_killed_run_takes_its_processes_with_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from training.processes import run_processes\n"
        "child = 'import os, signal; print(os.getpid(), flush=True); signal.pause()'\n"
        "run_processes('codes', [(sys.executable, '-c', child)] * 2,\n"
        "    log=pathlib.Path(sys.argv[1]), environment=os.environ, max_memory_gib=4.0,\n"
        "    is_stopped=lambda: False)\n"
    )
    log = tmp_path / "log"
    parent = subprocess.Popen((sys.executable, "-c", code, str(log)), cwd=ROOT)
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        assert parent.poll() is None
    children = [os.pidfd_open(int(line)) for line in log.read_text().splitlines()[1:]]
    parent.kill()
    parent.wait()
    for child in children:
        assert select.select([child], [], [], 10.0)[0], "the process outlived its parent"
        os.close(child)


def test_a_free_port_is_free() -> None:
    assert 1024 < free_port() < 65536


def test_memory_and_descendants() -> None:
    process = subprocess.Popen(WAIT)
    try:
        assert process.pid in descendants(os.getpid())
        assert private_memory_bytes([os.getpid()]) > 1_000_000
    finally:
        process.kill()
        process.wait()
    assert private_memory_bytes([process.pid]) == 0


@pytest.mark.parametrize("refused", [False, True])
def test_the_lowest_priority(refused: bool) -> None:
    code = (
        "import os, sys\n"
        "from training.priority import run_when_idle\n"
        "def refuse(*_): raise PermissionError(1, 'no')\n"
        f"if {refused}: os.sched_setscheduler = refuse\n"
        "print(run_when_idle(), os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))\n"
    )
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True)
    # This process may have a low priority itself.
    is_idle = os.sched_getscheduler(0) == os.SCHED_IDLE
    expected = f"nice 19 {is_idle} 19\n" if refused else f"SCHED_IDLE True {os.nice(0)}\n"
    assert done.stdout == expected

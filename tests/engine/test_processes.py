"""Which processes are killed when the server ends at once."""

import json
import subprocess
import sys

import psutil

from tests.support.served import wait_until

# A server with a child that has a child, multiprocessing's tracker and the reaper; it prints their
# process ids, kills its children, and waits.
CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""
SERVER = f"""
import json, subprocess, sys
from multiprocessing import resource_tracker
from orpheus_server.engine.processes import kill_children
from orpheus_server.engine.reaper import OrphanReaper
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", {CHILD!r}], stdout=subprocess.PIPE)
grandchild = int(child.stdout.readline())
resource_tracker.ensure_running()
tracker = resource_tracker._resource_tracker._pid
reaper = OrphanReaper()
print(json.dumps([child.pid, grandchild, tracker, reaper._process.pid]), flush=True)
kill_children()
print("killed", flush=True)
sys.stdin.readline()
"""


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_all_descendants_are_killed_except_those_that_clean_up() -> None:
    """Without the tracker, semaphores and shared memory would stay; the reaper ends processes that
    a thread still starts.
    """
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    with server:
        assert server.stdout is not None
        child, grandchild, tracker, reaper = json.loads(server.stdout.readline())
        assert server.stdout.readline() == b"killed\n"
        assert list(map(is_running, (child, grandchild, tracker, reaper))) == [0, 0, 1, 1]
        server.kill()
    wait_until(lambda: not is_running(tracker) and not is_running(reaper))

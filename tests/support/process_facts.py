"""The target of processes that tests start; importable by them."""

import json
import os
import signal
from pathlib import Path

import psutil
import setproctitle


def write_facts(*, path: Path, variable: str) -> None:
    """Writes what a process knows about itself."""
    setproctitle.setproctitle("VLLM::Test")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    facts = {
        "variable": os.environ.get(variable),
        "title": psutil.Process().cmdline()[0].rstrip("\0"),
        "ignores_interrupts": signal.SIGINT in blocked,
    }
    path.write_text(json.dumps(facts), encoding="utf-8")

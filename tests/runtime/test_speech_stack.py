"""What is set before vLLM and its processes start."""

import os
import subprocess
import sys

import pytest

from orpheus_server.runtime.speech_stack import prepare_vllm
from orpheus_server.settings import Settings

# What multiprocessing's tracker logs for an engine that was killed, a warning like it, and another.
TRACKER = """
import warnings
warnings.warn("resource_tracker: There appear to be 1 leaked semaphore objects to clean up")
warnings.warn("about a resource_tracker")
warnings.warn("something else")
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})


def test_only_the_warning_of_leaked_semaphores_is_dropped() -> None:
    """It came after the prompt of the shell."""
    prepare_vllm(Settings(), is_cuda=False)
    done = subprocess.run(
        [sys.executable, "-c", TRACKER], env=os.environ, capture_output=True, text=True, check=True
    )
    lines = [line.partition("UserWarning: ")[2] for line in done.stderr.splitlines()]
    assert [line for line in lines if line] == ["about a resource_tracker", "something else"]


def test_what_users_have_set_stays() -> None:
    os.environ["PYTHONWARNINGS"] = "error"
    prepare_vllm(Settings(), is_cuda=False)
    assert os.environ["PYTHONWARNINGS"] == "error"

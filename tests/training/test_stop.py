import subprocess
import sys
from pathlib import Path

import pytest

from training.settings import ROOT
from training.stop import main

# A run that ends a moment after SIGTERM, as one that saves does.
RUN = """
import pathlib, signal, sys
from training.lock import hold_lock
from training.stage import StopRequest
stop = StopRequest()
stop.listen()
with hold_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    while not stop():
        signal.sigtimedwait([], 0.05)
"""


def test_stopping_waits_until_the_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DIR", str(tmp_path))
    command = (sys.executable, "-c", RUN, str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        main([])
        assert process.wait() == 0
    assert capsys.readouterr().out == f"process {process.pid} is saving …\nstopped\n"


def test_nothing_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DIR", str(tmp_path))
    main([])
    assert capsys.readouterr().out == f"nothing is training in {tmp_path}\n"

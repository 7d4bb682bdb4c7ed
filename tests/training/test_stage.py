import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.lock import hold_lock, lock_owner
from training.settings import ROOT
from training.stage import lock_for_stage


def test_an_error_is_one_line() -> None:
    code = (
        "from training.errors import TrainingError\n"
        "from training.stage import run_stage\n"
        "def main(arguments): raise TrainingError('the disk is full')\n"
        "run_stage(main)\n"
    )
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "training: the disk is full\n")


def test_a_stage_of_its_own_holds_the_lock(tmp_path: Path) -> None:
    with lock_for_stage(tmp_path):
        assert lock_owner(tmp_path) == os.getpid()
        # Its other processes do not need it.
        with lock_for_stage(tmp_path, 1):
            pass
    assert lock_owner(tmp_path) is None


def test_a_stage_does_not_write_beside_a_chain(tmp_path: Path) -> None:
    with (
        hold_lock(tmp_path),
        pytest.raises(TrainingError, match="is training in"),
        lock_for_stage(tmp_path),
    ):
        pass


def test_a_stage_of_the_chain_runs_under_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getppid", os.getpid)
    with hold_lock(tmp_path), lock_for_stage(tmp_path):
        assert lock_owner(tmp_path) == os.getpid()

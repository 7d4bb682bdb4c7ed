import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.lock import hold_lock, lock_owner
from training.settings import ROOT

HOLD = (
    "import sys, pathlib\n"
    "from training.lock import hold_lock\n"
    "with hold_lock(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def test_two_runs_never_hold_one_folder(tmp_path: Path) -> None:
    command = (sys.executable, "-c", HOLD, str(tmp_path))
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert lock_owner(tmp_path) == process.pid
        with (
            pytest.raises(TrainingError, match=f"process {process.pid} is training in {tmp_path}"),
            hold_lock(tmp_path),
        ):
            pass
        process.kill()
    assert lock_owner(tmp_path) is None
    with hold_lock(tmp_path):
        pass


def test_a_folder_that_was_never_used_has_no_owner(tmp_path: Path) -> None:
    assert lock_owner(tmp_path / "none") is None


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(TrainingError, match="cannot write .*file/folder: Not a directory"),
        hold_lock(tmp_path / "file" / "folder"),
    ):
        pass

"""What `make` runs: the environment is a script that prints its arguments."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTEST = ".venv/bin/python -m pytest"
CHECKS = ["ruff format --check .", "ruff check .", "mypy"]
QUICK = f"{PYTEST} -m not engine and not slow -n auto --maxprocesses=8 --dist=worksteal"
ENGINE = f"{PYTEST} -m engine and not slow"

# Prints its arguments, fails where FAIL is in them, and copies itself into a new environment.
PYTHON = """#!/bin/sh
case "$1" in -c) exit 0;; esac
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi
echo "RUN $0 $*"
case "$*" in *"$FAIL"*) exit 1;; esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@dataclass
class Clone:
    """A folder with the Makefile and an environment that is complete."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-test.txt"):
            shutil.copy(ROOT / name, self.folder)
        venv = self.folder / ".venv"
        (venv / "bin").mkdir(parents=True)
        python = venv / "bin" / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        (venv / ".made-by-make").touch()
        (venv / ".made-for").write_text(f"cpu {self.folder}\n")
        for stamp in ("torch", "lock", "project", "test"):
            (venv / f".{stamp}-cpu").touch()

    def make(self, *arguments: str, fail: str = "nothing") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "--no-print-directory", "INSTALL_FOR=cpu", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "FAIL": fail},
            capture_output=True,
            text=True,
        )


def commands(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The arguments of every call of Python."""
    lines = done.stdout.splitlines()
    return [line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_all_that_belongs_in_ci(clone: Clone) -> None:
    done = clone.make("test")
    assert done.returncode == 0, done.stderr
    checks = [f".venv/bin/python -m {check}" for check in CHECKS]
    assert commands(done) == [*checks, QUICK, ENGINE]


@pytest.mark.parametrize(
    ("fail", "num_commands"),
    [("ruff format", 1), ("ruff check", 2), ("mypy", 3), ("not engine", 4), ("-m engine", 5)],
)
def test_it_ends_with_the_first_step_that_fails(clone: Clone, fail: str, num_commands: int) -> None:
    done = clone.make("test", fail=fail)
    assert done.returncode == 2
    assert len(commands(done)) == num_commands
    assert "Error 1" in done.stderr

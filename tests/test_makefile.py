"""What `make` runs: the environment is a script that prints its arguments."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest

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

    def add(self, name: str) -> None:
        """The packages of one more `test-NAME`."""
        (self.folder / f"requirements-{name}.txt").write_text("# Direct\nsome-package==1.0\n")

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


class TestExtras:
    """Tests that need more packages than the lock."""

    @pytest.mark.parametrize("name", ["demo", "cuda", "test"])
    def test_one_without_a_file(self, clone: Clone, name: str) -> None:
        clone.add("other")
        done = clone.make(f"test-{name}")
        assert done.returncode == 2
        assert commands(done) == []
        assert done.stderr.startswith(f"make: there is no test-{name}: a test-NAME needs ")
        assert "Available: test-other." in done.stderr

    def test_its_packages_are_installed_once(self, clone: Clone) -> None:
        clone.add("demo")
        install, run = commands(clone.make("test-demo"))
        assert install.startswith(".venv/bin/python -m pip install ")
        assert install.endswith(" --no-deps -r requirements-demo.txt")
        assert run == f"{PYTEST} -m demo"
        assert commands(clone.make("test-demo")) == [run]

    def test_in_an_environment_of_its_own(self, clone: Clone) -> None:
        clone.add("demo")
        create, install, run = commands(clone.make("test-demo", "OWN_VENVS=demo"))
        assert create == ".venv/bin/python -m venv .venv-demo"
        assert install.startswith(".venv-demo/bin/python -m pip install ")
        assert run == ".venv-demo/bin/python -m pytest -m demo"
        assert commands(clone.make("test-demo", "OWN_VENVS=demo")) == [run]

    def test_a_failed_installation_is_tried_again(self, clone: Clone) -> None:
        clone.add("demo")
        done = clone.make("test-demo", fail="pip install")
        assert (done.returncode, len(commands(done))) == (2, 1)
        assert len(commands(clone.make("test-demo"))) == 2

    @pytest.mark.parametrize(
        ("markers", "is_run"),
        [
            ("", False),
            ("not engine and not slow", False),
            ("demo", True),
            ("(demo or other) and not slow", True),
        ],
    )
    def test_its_tests_run_only_where_they_are_named(
        self, monkeypatch: pytest.MonkeyPatch, markers: str, is_run: bool
    ) -> None:
        """Also when pytest is run by hand, in an environment that lacks its packages."""
        monkeypatch.setattr(conftest, "EXTRAS", ["demo", "else"])
        deselected: list[str] = []
        hook = SimpleNamespace(pytest_deselected=lambda items: deselected.extend(items))
        config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=markers), hook=hook)
        marked: Any = SimpleNamespace(get_closest_marker=["demo"].count)
        other: Any = SimpleNamespace(get_closest_marker=["slow"].count)
        items = [marked, other]
        conftest.pytest_collection_modifyitems(config, items)
        assert items == ([marked, other] if is_run else [other])
        assert deselected == ([] if is_run else [marked])

    def test_not_part_of_the_tests_in_ci(self, clone: Clone) -> None:
        clone.add("demo")
        assert commands(clone.make("test"))[-1] == ENGINE

    def test_the_full_tests_run_those_that_are_installed(self, clone: Clone) -> None:
        clone.add("demo")
        clone.add("other")
        full = f"{PYTEST} --cov --cov-report="
        clone.make("test-demo")
        done = clone.make("test-full")
        assert done.returncode == 0, done.stderr
        assert commands(done)[3:] == [full, f"{PYTEST} -m demo"]
        assert done.stdout.splitlines()[-1] == "Not run because not installed: test-other"
        clone.make("test-other")
        done = clone.make("test-full")
        assert commands(done)[3:] == [full, f"{PYTEST} -m demo", f"{PYTEST} -m other"]
        assert "Left out" not in done.stdout

    def test_the_full_tests_fail_with_one_of_them(self, clone: Clone) -> None:
        clone.add("demo")
        clone.make("test-demo")
        assert clone.make("test-full", fail="-m demo").returncode == 2

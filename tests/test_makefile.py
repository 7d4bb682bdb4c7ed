"""Commands of the Makefile, run with a Python that is a script and records its arguments."""

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

# Prints its arguments, fails if they contain FAIL, and copies itself into a new environment.
PYTHON = """#!/bin/sh
case "$1" in -c) exit 0;; esac
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi
echo "RUN $0 $*"
case "$*" in *"$FAIL"*) exit 1;; esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@dataclass
class Clone:
    """A folder with the Makefile and a complete environment."""

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
        """Adds the requirements of a `test-NAME`."""
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
    """Returns the arguments of every call of Python."""
    lines = done.stdout.splitlines()
    return [line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_the_steps_of_make_test(clone: Clone) -> None:
    done = clone.make("test")
    assert done.returncode == 0, done.stderr
    checks = [f".venv/bin/python -m {check}" for check in CHECKS]
    assert commands(done) == [*checks, QUICK, ENGINE]


@pytest.mark.parametrize(
    ("fail", "num_commands"),
    [("ruff format", 1), ("ruff check", 2), ("mypy", 3), ("not engine", 4), ("-m engine", 5)],
)
def test_make_test_stops_at_the_first_failing_step(
    clone: Clone, fail: str, num_commands: int
) -> None:
    done = clone.make("test", fail=fail)
    assert done.returncode == 2
    assert len(commands(done)) == num_commands
    assert "Error 1" in done.stderr


class TestExtras:
    """Tests that need additional packages."""

    @pytest.mark.parametrize("name", ["demo", "cuda", "test"])
    def test_a_name_without_a_requirements_file(self, clone: Clone, name: str) -> None:
        clone.add("other")
        # The lock for CUDA is not a list of packages for tests.
        (clone.folder / "requirements-cuda.txt").touch()
        done = clone.make(f"test-{name}")
        assert done.returncode == 2
        assert commands(done) == []
        assert done.stderr.startswith(f"make: there is no test-{name}: a test-NAME needs ")
        assert "Available: test-other." in done.stderr

    def test_packages_are_installed_once(self, clone: Clone) -> None:
        clone.add("demo")
        install, run = commands(clone.make("test-demo"))
        assert install.startswith(".venv/bin/python -m pip install ")
        assert install.endswith(" --no-deps -r requirements-demo.txt")
        assert run == f"{PYTEST} -m demo"
        assert commands(clone.make("test-demo")) == [run]

    def test_a_separate_environment(self, clone: Clone) -> None:
        clone.add("demo")
        create, install, run = commands(clone.make("test-demo", "OWN_VENVS=demo"))
        assert create == ".venv/bin/python -m venv .venv-demo"
        assert install.startswith(".venv-demo/bin/python -m pip install ")
        assert run == ".venv-demo/bin/python -m pytest -m demo"
        assert commands(clone.make("test-demo", "OWN_VENVS=demo")) == [run]

    def test_clients_have_an_environment_that_the_tests_start(self, clone: Clone) -> None:
        """The tests start the server, which is not in it."""
        clone.add("clients")
        create, install, run = commands(clone.make("test-clients"))
        assert create == ".venv/bin/python -m venv .venv-clients"
        assert install.endswith(" --no-deps -r requirements-clients.txt")
        assert run == f"{PYTEST} -m clients"
        assert commands(clone.make("test-clients")) == [run]

    def test_a_failed_installation_is_retried(self, clone: Clone) -> None:
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
    def test_marked_tests_run_only_when_named(
        self, monkeypatch: pytest.MonkeyPatch, markers: str, is_run: bool
    ) -> None:
        """Otherwise running pytest by hand would fail without its packages."""
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

    def test_a_missing_program_is_named(self, clone: Clone) -> None:
        clone.add("demo")
        done = clone.make("test-demo", "PROGRAMS_demo=sh no-such-program")
        assert (done.returncode, commands(done)) == (2, [])
        assert done.stderr.splitlines()[0] == (
            "make: no-such-program is missing, which test-demo needs. "
            "On Debian: apt-get install no-such-program"
        )
        assert clone.make("test-demo", "PROGRAMS_demo=sh").returncode == 0

    def test_make_test_leaves_them_out(self, clone: Clone) -> None:
        clone.add("demo")
        assert commands(clone.make("test"))[-1] == ENGINE

    def test_the_full_tests_include_those_with_installed_packages(self, clone: Clone) -> None:
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
        assert "Not run" not in done.stdout

    def test_the_full_tests_fail_if_one_of_them_fails(self, clone: Clone) -> None:
        clone.add("demo")
        clone.make("test-demo")
        assert clone.make("test-full", fail="-m demo").returncode == 2


class TestEngines:
    """`ENGINE=transformers`: an environment without vLLM, also for other systems."""

    LOCK = "requirements-transformers.txt"

    @pytest.fixture
    def clone(self, tmp_path: Path) -> Clone:
        clone = Clone(tmp_path)
        shutil.copy(ROOT / self.LOCK, tmp_path)
        return clone

    @pytest.fixture
    def installed(self, clone: Clone) -> Clone:
        """A clone whose environment without vLLM is complete."""
        venv = clone.folder / ".venv-transformers"
        shutil.copytree(clone.folder / ".venv", venv)
        for stamp in ("torch", "lock", "project"):
            (venv / f".{stamp}-cpu").touch()
        server = venv / "bin" / "orpheus-server"
        server.write_text('#!/bin/sh\necho "RUN $0 $* TTS_ENGINE=$TTS_ENGINE"\n')
        server.chmod(0o755)
        return clone

    def set_system(self, clone: Clone, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
        programs = clone.folder / "programs"
        programs.mkdir()
        uname = programs / "uname"
        uname.write_text(f"#!/bin/sh\necho {system}\n")
        uname.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    @pytest.mark.parametrize("engine", ["transformers", "completions"])
    def test_the_server_uses_the_engine(self, installed: Clone, engine: str) -> None:
        done = installed.make("serve", f"ENGINE={engine}")
        assert commands(done) == [
            f".venv-transformers/bin/orpheus-server serve TTS_ENGINE={engine}"
        ]

    def test_a_setting_takes_precedence(self, installed: Clone) -> None:
        """make exports variables, and those take precedence over .env."""
        (installed.folder / ".env").write_text("TTS_ENGINE=completions\n")
        done = installed.make("serve", "ENGINE=transformers")
        assert commands(done) == [".venv-transformers/bin/orpheus-server serve TTS_ENGINE="]

    def test_it_is_installed_beside_the_other_environment(self, clone: Clone) -> None:
        done = clone.make("setup", "ENGINE=transformers", f"PYTHON={clone.folder}/.venv/bin/python")
        assert done.returncode == 0, done.stderr
        venv, pip, torch, lock, project = commands(done)
        assert venv.endswith("/.venv/bin/python -m venv .venv-transformers")
        start = ".venv-transformers/bin/python -m pip install "
        assert all(each.startswith(start) for each in (pip, torch, lock, project))
        assert f"--constraint {self.LOCK} torch==2.13.0" in torch
        assert lock.endswith(f"-r {self.LOCK}")
        assert "requirements.txt" not in done.stdout
        assert commands(clone.make("setup", "ENGINE=transformers")) == []

    @pytest.mark.parametrize("system", ["Linux x86_64", "Linux aarch64", "Darwin arm64"])
    def test_systems_with_wheels(
        self, clone: Clone, monkeypatch: pytest.MonkeyPatch, system: str
    ) -> None:
        self.set_system(clone, system, monkeypatch)
        python = f"PYTHON={clone.folder}/.venv/bin/python"
        assert clone.make("setup", "ENGINE=transformers", python).returncode == 0

    @pytest.mark.parametrize(
        ("system", "engine", "message"),
        [
            ("Darwin arm64", "vllm", "make: make serve ENGINE=transformers"),
            ("Linux aarch64", "vllm", "make: make serve ENGINE=transformers"),
            ("Darwin x86_64", "transformers", "this is Darwin x86_64."),
        ],
    )
    def test_systems_without_wheels(
        self,
        clone: Clone,
        monkeypatch: pytest.MonkeyPatch,
        system: str,
        engine: str,
        message: str,
    ) -> None:
        self.set_system(clone, system, monkeypatch)
        (clone.folder / ".venv" / ".made-for").write_text("cpu /elsewhere\n")
        python = f"PYTHON={clone.folder}/.venv/bin/python"
        done = clone.make("setup", f"ENGINE={engine}", python)
        assert (done.returncode, commands(done)) == (2, [])
        assert message in done.stderr

    def test_an_unknown_engine(self, clone: Clone) -> None:
        done = clone.make("serve", "ENGINE=llama")
        assert done.returncode == 2
        assert "ENGINE is 'llama': it must be vllm, transformers or completions" in done.stderr

    def test_other_targets_have_no_engine(self, clone: Clone) -> None:
        """Their tools are in the environment with vLLM."""
        done = clone.make("test", "ENGINE=transformers")
        assert (done.returncode, commands(done)) == (2, [])
        assert "ENGINE is for serve and setup" in done.stderr

    def test_its_tests_run_in_the_other_environment(self, installed: Clone) -> None:
        assert commands(installed.make("test-transformers")) == [f"{PYTEST} -m transformers"]

    def test_the_full_tests_always_include_it(self, installed: Clone) -> None:
        full = [f"{PYTEST} --cov --cov-report=", f"{PYTEST} -m transformers"]
        assert commands(installed.make("test-full"))[3:] == full

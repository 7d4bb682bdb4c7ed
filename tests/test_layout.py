"""The layout of packages and tests: mirrored folders and one-line `__init__.py` files."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "orpheus_server"
TESTS = ROOT / "tests"
TRAINING = "training"

# Folders of tests that mirror no package: helpers, fuzzing, fault injection, pages in a browser,
# clients and their programs, files that are not Python.
OWN_FOLDERS = {"support", "fuzz", "faults", "browser", "clients", "clients/python", "deploy"}


def folders_in(folder: Path) -> set[str]:
    """Returns the paths of folders that contain Python files at any depth."""
    paths = {file.parent.relative_to(folder) for file in folder.rglob("*.py")}
    return {each.as_posix() for path in paths for each in (path, *path.parents)} - {"."}


def all_folders() -> dict[str, Path]:
    """Returns the folders of both packages by the name of the folder with their tests."""
    return {
        **{name: PACKAGE / name for name in folders_in(PACKAGE)},
        TRAINING: ROOT / TRAINING,
        **{f"{TRAINING}/{name}": ROOT / TRAINING / name for name in folders_in(ROOT / TRAINING)},
    }


@pytest.mark.parametrize("folder", sorted(all_folders()))
def test_a_package_has_tests(folder: str) -> None:
    assert list((TESTS / folder).glob("test_*.py"))


def test_the_package_defines_only_its_version() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    assert [ast.unparse(node).partition(" = ")[0] for node in body[1:]] == ["__version__"]


def test_tests_mirror_the_packages() -> None:
    assert folders_in(TESTS) - OWN_FOLDERS == set(all_folders())


@pytest.mark.parametrize("folder", sorted(all_folders()))
def test_init_is_a_one_line_docstring(folder: str) -> None:
    """It re-exports nothing, so that a name has one import path."""
    source = (all_folders()[folder] / "__init__.py").read_text(encoding="utf-8")
    module = ast.parse(source)
    assert len(module.body) == 1
    assert source == f'"""{ast.get_docstring(module)}"""\n'
    assert source.count("\n") == 1

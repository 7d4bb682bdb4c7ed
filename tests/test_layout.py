"""Where things lie: packages that say what they are for, and tests beside them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "orpheus_server"
TESTS = ROOT / "tests"

# Folders of tests that mirror no package: helpers, fuzzing, and whole servers that are broken.
OWN_FOLDERS = {"support", "fuzz", "faults"}


def folders_in(folder: Path) -> set[str]:
    """Those that hold Python files, at any depth, by their path; and those around them."""
    paths = {file.parent.relative_to(folder) for file in folder.rglob("*.py")}
    return {each.as_posix() for path in paths for each in (path, *path.parents)} - {"."}


@pytest.mark.parametrize("folder", sorted(folders_in(PACKAGE)))
def test_a_package_has_tests(folder: str) -> None:
    assert list((TESTS / folder).glob("test_*.py"))


def test_the_package_itself_has_its_version_and_nothing_else() -> None:
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    assert [ast.unparse(node).partition(" = ")[0] for node in body[1:]] == ["__version__"]


def test_tests_mirror_the_package() -> None:
    assert folders_in(TESTS) - OWN_FOLDERS == folders_in(PACKAGE)


@pytest.mark.parametrize("folder", sorted(folders_in(PACKAGE)))
def test_a_package_says_in_one_line_what_it_is_for(folder: str) -> None:
    """And hands on no names: a name has one address."""
    source = (PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")
    module = ast.parse(source)
    assert len(module.body) == 1
    assert source == f'"""{ast.get_docstring(module)}"""\n'
    assert source.count("\n") == 1

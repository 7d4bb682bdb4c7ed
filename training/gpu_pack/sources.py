"""The source files that the stages need: all of `training/`, and what it imports of the server."""

import ast
from collections.abc import Iterator
from pathlib import Path

from training.gpu_pack.layout import STAGES
from training.settings import ROOT

ENTRIES = ("training.gpu_pack.remote", *(f"training.{stage}.__main__" for stage in STAGES))


def source_files(root: Path = ROOT) -> list[Path]:
    """Returns the files, relative to the repository."""
    training = [path for path in (root / "training").rglob("*") if path.suffix in (".py", ".json")]
    files = {path.relative_to(root) for path in training}
    return sorted(files | _imported(root, "orpheus_server"))


def _imported(root: Path, package: str) -> set[Path]:
    """Returns the package's files that the entries import, directly or not."""
    files: set[Path] = set()
    waiting = list(ENTRIES)
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        path = _file(root, name)
        if path is None:
            continue
        if name.partition(".")[0] == package:
            files.add(path)
            parents = path.parent.relative_to(".").parts
            files |= {Path(*parents[:depth], "__init__.py") for depth in range(1, len(parents) + 1)}
        for found in _imports(root / path):
            if found not in seen and found.partition(".")[0] in (package, "training"):
                seen.add(found)
                waiting.append(found)
    return {path for path in files if (root / path).is_file()}


def _file(root: Path, name: str) -> Path | None:
    parts = Path(*name.split("."))
    for path in (parts.with_suffix(".py"), parts / "__init__.py"):
        if (root / path).is_file():
            return path
    return None


def _imports(path: Path) -> Iterator[str]:
    """Yields the names that a file imports; some are of modules, others of what is in them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)

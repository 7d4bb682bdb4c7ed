"""The source files that go along: all of `training/`, which needs nothing of the server there."""

from pathlib import Path

from training.settings import ROOT

SUFFIXES = (".py", ".json")


def source_files(root: Path = ROOT) -> list[Path]:
    """Returns the files, relative to the repository."""
    files = (root / "training").rglob("*")
    return sorted(path.relative_to(root) for path in files if path.suffix in SUFFIXES)

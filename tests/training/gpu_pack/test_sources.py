"""Tests of the list of source files."""

import ast
from pathlib import Path

from training.gpu_pack.sources import source_files
from training.settings import ROOT

# Stages that run on the rented machine, and packages that are not there.
ENTRIES = ("gpu_pack/remote.py", "language_model/__main__.py", "decoder/__main__.py")
ABSENT = {"av", "gruut", "orpheus_server", "transformers", "vllm"}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_all_of_training_goes_along() -> None:
    files = {path.as_posix() for path in source_files()}
    assert {"training/trainer.py", "training/speech/speakers.json"} <= files
    assert {f"training/{entry}" for entry in ENTRIES} <= files
    assert all(name.startswith("training/") for name in files)


def test_the_stages_need_nothing_of_the_server_there() -> None:
    waiting = [ROOT / "training" / entry for entry in ENTRIES]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        found = imports(path)
        assert not {name.partition(".")[0] for name in found} & ABSENT, path
        for name in found:
            module = (ROOT / Path(*name.split("."))).with_suffix(".py")
            if name.startswith("training.") and module.is_file() and module not in seen:
                seen.add(module)
                waiting.append(module)
    assert len(seen) > 20

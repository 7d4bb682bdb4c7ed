"""The package without what only Linux has, and without vLLM."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "orpheus_server"

# Modules of the standard library that Windows lacks, packages without wheels for it, and vLLM.
MISSING = ("fcntl", "termios", "resource", "pwd", "grp", "uvloop", "vllm", "setproctitle")

# Used only with vLLM, whose packages need Linux.
OF_VLLM = {
    "engine.chat_engine",
    "engine.cpu_worker",
    "engine.fork_context",
    "engine.slot_mask_v1",
    "engine.slot_mask_v2",
    "engine.speech_engine",
    "engine.vllm_engine",
    "engine.vllm_loader",
}

IMPORT_ALL = """
import importlib, sys
missing, names = (argument.split(",") for argument in sys.argv[1:])
# They import some of the missing modules themselves, or cope without them.
for name in ("asyncio", "torch", "transformers", "uvicorn", "fastapi", "openai", "psutil"):
    importlib.import_module(name)
for name in missing:
    sys.modules[name] = None
for name in names:
    importlib.import_module("orpheus_server." + name)
print("imported", len(names))
"""


def module_names() -> list[str]:
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(
        ".".join(path.parts) for path in paths if path.name not in ("__init__", "__main__")
    )


def top_imports(name: str) -> set[str]:
    """Returns the modules that a module of the package imports when it is imported."""
    source = (PACKAGE / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_everything_without_vllm_is_imported_on_any_system() -> None:
    """A module of Linux alone, or vLLM, would stop the start on macOS and Windows."""
    names = [name for name in module_names() if name not in OF_VLLM]
    assert len(names) > 150
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, ",".join(MISSING), ",".join(names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"imported {len(names)}\n", done.stderr


def test_the_modules_of_vllm_are_those_that_import_it() -> None:
    """One that no longer needs vLLM must be imported everywhere."""
    needs = {"vllm", "setproctitle", *(f"orpheus_server.{name}" for name in OF_VLLM)}
    for name in module_names():
        imports = top_imports(name)
        is_of_vllm = any(each in needs or each.partition(".")[0] in needs for each in imports)
        assert is_of_vllm == (name in OF_VLLM), name

"""Who may import what, read from the source: the order of the packages, held by machine."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "orpheus_server"

# From the top down. A room (a package, or a module at the top) imports from lower floors only,
# never from another room of its own floor.
ORDER: tuple[tuple[str, ...], ...] = (
    ("fastapi_app", "cli"),
    ("app",),
    ("api", "bench"),
    ("runtime", "fakes"),
    ("synthesis", "chat"),
    ("engine", "audio", "text", "server"),
    ("checkpoints", "settings", "concurrency"),
    ("interfaces", "errors", "__init__"),
)
# The same inside a package. What is not named here is its ground floor.
ORDER_INSIDE: dict[str, tuple[tuple[str, ...], ...]] = {
    "api": (("routes", "realtime"), ("answers",), ("requests",), ("schemas", "openapi")),
    "audio": (("snac",),),
    "bench": (
        ("command",),
        ("overload",),
        ("soak", "speech", "chat", "offline"),
        ("client",),
        ("report",),
    ),
    "chat": (("local", "remote"),),
    "server": (("uvicorn_config", "uvicorn_server"), ("protocols",), ("middleware",)),
    "text": (("markdown",),),
}
# Modules and packages that decide and measure: they need no model, no server and no event loop.
PURE = (
    *("interfaces", "errors", "settings", "runtime.caller_slots"),
    *("server.api_keys", "server.origins"),
    *("checkpoints.checkpoint", "checkpoints.speech_json", "checkpoints.published"),
    "text",
    *("audio.samples", "audio.trimming", "audio.crossfade"),
    *("synthesis.prompts", "synthesis.frames", "synthesis.guard", "synthesis.retry"),
    *("synthesis.capacity", "synthesis.fair_queue", "engine.restart_budget", "engine.memory"),
    *("chat.conversation", "chat.model_info", "chat.selection", "chat.filters"),
    *("chat.system_prompt", "chat.reply_timings", "chat.transcripts"),
)
# But for the files in them that name a library that loads a model.
EDGES = ("text.phonemes",)
HEAVY = {"torch", "vllm", "fastapi", "starlette", "asyncio", "transformers", "snac", "gruut", "av"}
HTTP_MODULES = {"app", "api", "server"}

# Foreign library: the modules and packages that may import it, anywhere in them.
OWNERS = {
    "vllm": {"engine"},
    "torch": {"engine", "audio.snac", "runtime", "bench"},
    "snac": {"audio.snac", "bench"},
    "av": {"audio.tempo", "audio.av_encoder", "bench"},
    "gruut": {"text.phonemes"},
    "huggingface_hub": {"checkpoints.weights", "chat.model_info"},
    "transformers": {"chat.local"},
    "jinja2": {"chat.local"},
    "tokenizers": {"synthesis.prompts", "chat.local", "bench"},
    "psutil": {"engine", "runtime.preflight"},
    "uvicorn": {"server", "bench"},
    "h11": {"server.protocols"},
    "websockets": {"server.protocols", "bench"},
    "matplotlib": {"bench"},
    "prometheus_client": {"runtime.metrics", "api.routes", "bench"},
    "httpx2": {"bench", "chat.remote"},
    "openai": {"chat.remote"},
    "fastapi": HTTP_MODULES,
    "starlette": HTTP_MODULES,
    "pydantic_settings": {"settings"},
    "dotenv": {"settings"},
}
IMPORTS_IN_FUNCTIONS = {"runtime", "text.phonemes", "bench.command", "bench.speech.command"}


@dataclass(frozen=True)
class Source:
    """One module: its tree and what it imports, types only for the checker left out."""

    name: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The package, or the module at the top."""
        return self.name.partition(".")[0]

    @property
    def part(self) -> str:
        """Inside its package: the package or module that the source is in or is."""
        return self.name.partition(".")[2].partition(".")[0]

    def is_in(self, places: Iterable[str]) -> bool:
        """Whether one of these is the module or a package around it."""
        return any(self.name == place or self.name.startswith(f"{place}.") for place in places)

    @property
    def at_top(self) -> set[str]:
        return set(names_in(self.tree, into_functions=False))

    @property
    def anywhere(self) -> set[str]:
        return set(names_in(self.tree, into_functions=True))


def names_in(node: ast.AST, *, into_functions: bool) -> Iterator[str]:
    """Full names of the modules that are imported when the node runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports inside the package are absolute"
            assert child.module is not None
            yield child.module
            # `from orpheus_server.routes import speech` imports a module too.
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        elif into_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from names_in(child, into_functions=into_functions)


@cache
def sources() -> dict[str, Source]:
    files = [*(ROOT / PACKAGE).rglob("*.py"), ROOT / "fastapi_app.py"]
    found = {}
    for file in files:
        path = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(path[1:] if path[0] == PACKAGE else path)
        if name.endswith(".__init__"):
            name = name.removesuffix(".__init__")
        found[name] = Source(name, ast.parse(file.read_text(encoding="utf-8")))
    return found


def own(names: set[str]) -> set[str]:
    """Those of our modules that are among the names."""
    inside = {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}
    return inside & set(sources())


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def floor_of(name: str, order: tuple[tuple[str, ...], ...]) -> int | None:
    """Counted from the top, or None for a name that the order does not have."""
    return next((floor for floor, names in enumerate(order) if name in names), None)


def may_import(importer: Source, imported: Source) -> bool:
    """By the order of the rooms, or inside one room by the order in there."""
    upper: int | None
    lower: int | None
    if importer.room != imported.room:
        upper, lower = floor_of(importer.room, ORDER), floor_of(imported.room, ORDER)
        return upper is None or lower is None or upper < lower
    if importer.part == imported.part:
        return True
    order = ORDER_INSIDE.get(importer.room, ())
    upper, lower = floor_of(importer.part, order), floor_of(imported.part, order)
    if upper is None:  # on the ground floor, whose modules may import each other
        return lower is None
    return lower is None or upper < lower


def reachable(name: str) -> set[str]:
    """The module and all of ours that importing it imports."""
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= own(sources()[current].at_top) - seen
    return seen


@pytest.mark.parametrize("name", sources())
def test_imports_point_down_only(name: str) -> None:
    source = sources()[name]
    upward = {other for other in own(source.anywhere) if not may_import(source, sources()[other])}
    assert upward == set()


def test_modules_do_not_import_each_other_in_circles() -> None:
    """Inside one room too, where the order does not say who is above whom."""
    order = TopologicalSorter({name: own(source.at_top) for name, source in sources().items()})
    order.prepare()  # raises CycleError, which names the circle


PURE_MODULES = [
    name for name, source in sources().items() if source.is_in(PURE) and not source.is_in(EDGES)
]


@pytest.mark.parametrize("name", PURE_MODULES)
def test_policy_is_pure(name: str) -> None:
    """Directly or through another module of ours: what decides can be tested without a model."""
    assert reachable(name) <= {*PURE_MODULES, "__init__"}
    for other in reachable(name):
        assert not roots(sources()[other].anywhere) & HEAVY, other


@pytest.mark.parametrize("library", OWNERS)
def test_a_foreign_library_has_one_owner(library: str) -> None:
    users = [source for source in sources().values() if library in roots(source.anywhere)]
    assert {user.name for user in users if not user.is_in(OWNERS[library])} == set()


def test_imports_are_at_the_top() -> None:
    """Elsewhere they hide what a module needs, and cost their time in the middle of a request."""
    hiding = [source for source in sources().values() if source.anywhere - source.at_top]
    assert {source.name for source in hiding if not source.is_in(IMPORTS_IN_FUNCTIONS)} == set()


def test_no_module_is_imported_by_name_but_torchvision() -> None:
    users = {
        source.name
        for source in sources().values()
        if "import_module" in ast.dump(source.tree) or "__import__" in ast.dump(source.tree)
    }
    assert users <= {"runtime.preflight"}


def environment_uses(tree: ast.Module) -> list[str]:
    """The code around each use of the environment."""
    uses = []
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            is_name = isinstance(child, ast.Attribute) and child.attr in ("environ", "getenv")
            is_import = isinstance(child, ast.alias) and child.name in ("environ", "getenv")
            if is_name or is_import:
                uses.append(ast.unparse(node))
    return uses


def test_the_environment_is_read_in_one_place() -> None:
    for source in sources().values():
        uses = environment_uses(source.tree)
        if source.name == "runtime.speech_stack":
            # vLLM's own switches, set before it is imported.
            assert set(uses) == {"os.environ.setdefault"}
        elif source.name != "settings":
            assert uses == [], source.name


IMPORT_WITHOUT = """
import importlib, logging, sys, threading
for name in {blocked!r}:
    sys.modules[name] = None
for name in {modules!r}:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
assert not logging.getLogger().handlers and not logging.getLogger("orpheus_server").handlers
"""


def test_the_pure_modules_need_nothing_heavy_and_start_nothing() -> None:
    modules = [f"{PACKAGE}.{name}" for name in PURE_MODULES]
    # pydantic and numpy are free to use asyncio.
    blocked = sorted(HEAVY - {"asyncio"})
    code = IMPORT_WITHOUT.format(blocked=blocked, modules=modules)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_application_is_imported_without_an_engine() -> None:
    """The port answers while torch and vLLM load: nothing at the top may ask for them."""
    blocked = sorted({"torch", "vllm", "transformers", "snac", "gruut"})
    code = IMPORT_WITHOUT.format(blocked=blocked, modules=[f"{PACKAGE}.cli"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

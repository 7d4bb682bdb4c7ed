"""Import rules, checked in the source: order of packages, purity and owners of libraries."""

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

# From the top down. A package or top-level module imports only from lower levels, never from its
# own level.
ORDER: tuple[tuple[str, ...], ...] = (
    ("fastapi_app", "cli"),
    ("app",),
    ("api", "bench"),
    ("runtime", "fakes"),
    ("synthesis", "chat"),
    ("engine", "audio", "text", "server"),
    ("checkpoints", "settings", "concurrency", "event_stream"),
    ("env_file",),
    ("interfaces", "errors", "__init__"),
)
# The same inside a package. Modules that are not named are its lowest level and may import each
# other, but not in circles.
ORDER_INSIDE: dict[str, tuple[tuple[str, ...], ...]] = {
    "api": (("routes", "realtime"), ("answers",), ("requests",), ("schemas", "openapi")),
    "audio": (("snac",),),
    "bench": (
        ("command",),
        ("overload", "soak", "speech", "chat", "offline", "argument_types", "option_conflicts"),
        ("client",),
        ("report",),
        ("machine_card",),
    ),
    "chat": (("local", "remote"),),
    "server": (("uvicorn_config", "uvicorn_server"), ("protocols",), ("middleware",)),
    "text": (
        ("markdown",),
        ("chunk_stream",),
        ("chunking",),
        ("front_end", "phonemes"),
        ("english",),
    ),
}
# Exceptions to the order inside a package: importer, imported.
ALLOWED_EXCEPTIONS = {("bench.overload", "bench.soak")}
# Packages and modules of pure logic: they need no model, server or event loop.
PURE = (
    *("interfaces", "errors", "env_file", "settings"),
    *("checkpoints.checkpoint", "checkpoints.speech_json", "checkpoints.published"),
    "text",
    *("audio.samples", "audio.trimming", "audio.crossfade"),
    *("engine.restart_budget", "engine.watchdog", "engine.memory"),
    *("engine.custom_tokens", "engine.completion_dialects", "engine.completion_prompt"),
    *("server.api_keys", "server.origins"),
    *("synthesis.prompts", "synthesis.frames", "synthesis.guard", "synthesis.retry"),
    *("synthesis.capacity", "synthesis.fair_queue", "synthesis.job", "synthesis.playback_clock"),
    "synthesis.wait_estimate",
    *("chat.conversation", "chat.model_info", "chat.selection", "chat.filters"),
    *("chat.system_prompt", "chat.reply_timings", "chat.transcripts"),
    "chat.local.control_tokens",
    "runtime.caller_slots",
)
# Files in them that are not pure, because they import a library that loads a model.
EDGES = ("text.phonemes",)
HEAVY = {
    *("torch", "vllm", "transformers", "snac", "gruut", "av", "huggingface_hub"),
    *("fastapi", "starlette", "asyncio"),
}

# Third-party library: the packages and modules that may import it.
OWNERS = {
    "anyio": {"chat.remote", "engine"},
    "av": {"audio", "bench.client"},
    "dotenv": {"env_file"},
    "fastapi": {"app", "api", "server"},
    "gruut": {"text.phonemes"},
    "h11": {"server.protocols"},
    "httpx2": {"chat.remote", "bench", "engine"},
    "huggingface_hub": {"checkpoints.weights", "chat.model_card"},
    "jinja2": {"chat.local"},
    "num2words": {"text.english.numerals"},
    "numpy": {"audio", "synthesis", "bench", "interfaces", "fakes"},
    "openai": {"chat.remote"},
    "prometheus_client": {
        *("runtime.metrics", "runtime.snapshot", "api.routes.metrics", "bench.client"),
    },
    "psutil": {"engine", "runtime.preflight", "server.listening"},
    "setproctitle": {"engine"},
    "pydantic": {"api", "server.errors", "server.responses", "checkpoints.speech_json", "settings"},
    "pydantic_core": {"api.schemas.request", "api.realtime.parsing"},
    "pydantic_settings": {"settings"},
    "safetensors": {"audio.snac"},
    "snac": {"audio.snac", "bench.offline"},
    "starlette": {"api", "server"},
    "tokenizers": {"synthesis.prompts", "chat.local", "bench.offline", "engine"},
    "torch": {"engine", "audio.snac", "runtime", "bench.offline"},
    "transformers": {"chat.local", "engine"},
    "uvicorn": {"server", "bench.offline"},
    "vllm": {"engine"},
    "websockets": {"server.protocols", "bench.soak"},
}
IMPORTS_IN_FUNCTIONS = {
    *("runtime.chat_stack", "runtime.preflight"),
    *("runtime.hardware", "runtime.snapshot", "runtime.speech_stack"),
    *("text.phonemes", "bench.command", "cli"),
}


@dataclass(frozen=True)
class Source:
    """A module: its syntax tree and its imports."""

    name: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """Returns the package or top-level module."""
        return self.name.partition(".")[0]

    @property
    def part(self) -> str:
        """Returns the subpackage or module within the package, "" for the package itself."""
        return self.name.partition(".")[2].partition(".")[0]

    def is_in(self, places: Iterable[str]) -> bool:
        """Returns whether a place is the module or a package that contains it."""
        return any(self.name == place or self.name.startswith(f"{place}.") for place in places)

    @property
    def at_top(self) -> set[str]:
        return set(names_in(self.tree, into_functions=False))

    @property
    def anywhere(self) -> set[str]:
        return set(names_in(self.tree, into_functions=True))

    @property
    def with_types(self) -> set[str]:
        """Returns all imports, including those for type checkers only."""
        return set(names_in(self.tree, into_functions=True, into_types=True))


def names_in(node: ast.AST, *, into_functions: bool, into_types: bool = False) -> Iterator[str]:
    """Yields the full names of the modules that the node imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
            assert PACKAGE not in names, "does not name the modules that it uses"
            yield from names
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports inside the package are absolute"
            assert child.module is not None
            yield child.module
            # `from orpheus_server.api.routes import speech` also imports a module.
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif (
            not into_types
            and isinstance(child, ast.If)
            and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        ):
            rest = ast.Module(child.orelse, [])
            yield from names_in(rest, into_functions=into_functions)
        elif into_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from names_in(child, into_functions=into_functions, into_types=into_types)


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
    """Returns the modules of this package among the names."""
    inside = {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}
    return inside & set(sources())


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def level_of(name: str, order: tuple[tuple[str, ...], ...]) -> int:
    """Returns the level from the top; unnamed modules are below all levels."""
    return next((level for level, names in enumerate(order) if name in names), len(order))


def may_import(importer: Source, imported: Source) -> bool:
    """Applies the order of packages, or the order inside one package."""
    if importer.package != imported.package:
        return level_of(importer.package, ORDER) < level_of(imported.package, ORDER)
    if any(importer.is_in([a]) and imported.is_in([b]) for a, b in ALLOWED_EXCEPTIONS):
        return True
    order = ORDER_INSIDE.get(importer.package, ())
    upper, lower = level_of(importer.part, order), level_of(imported.part, order)
    return importer.part == imported.part or upper < lower or upper == lower == len(order)


def reachable(name: str) -> set[str]:
    """Returns the module and all modules of this package that its import loads."""
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= own(sources()[current].at_top) - seen
    return seen


def test_every_package_has_one_level() -> None:
    placed = [name for names in ORDER for name in names]
    assert len(placed) == len(set(placed))
    assert set(placed) == {source.package for source in sources().values()}


@pytest.mark.parametrize("package", ORDER_INSIDE)
def test_every_name_in_the_order_exists(package: str) -> None:
    parts = [name for names in ORDER_INSIDE[package] for name in names]
    assert len(parts) == len(set(parts))
    assert set(parts) <= {source.part for source in sources().values() if source.package == package}


@pytest.mark.parametrize("package", ["api", "bench"])
def test_every_part_of_some_packages_has_a_level(package: str) -> None:
    """Otherwise a new file would silently belong to the lowest level."""
    parts = {source.part for source in sources().values() if source.package == package}
    assert parts - {""} == {name for names in ORDER_INSIDE[package] for name in names}


def test_uvicorn_is_at_the_top_of_the_server() -> None:
    parts = {source.part for source in sources().values() if source.package == "server"}
    files = {part for part in parts if part.startswith("uvicorn_")}
    assert files == set(ORDER_INSIDE["server"][0])


def test_every_folder_inside_a_package_has_a_level() -> None:
    folders = {
        (source.package, source.part) for source in sources().values() if source.name.count(".") > 1
    }
    assert {
        (package, part)
        for package, part in folders
        if level_of(part, ORDER_INSIDE.get(package, ())) == len(ORDER_INSIDE.get(package, ()))
    } == set()


@pytest.mark.parametrize("name", sources())
def test_imports_only_from_lower_levels(name: str) -> None:
    source = sources()[name]
    upward = {other for other in own(source.with_types) if not may_import(source, sources()[other])}
    assert upward == set()


def test_modules_do_not_import_each_other_in_circles() -> None:
    """Modules of one level are not covered by the order."""
    order = TopologicalSorter({name: own(source.at_top) for name, source in sources().items()})
    order.prepare()  # raises CycleError, which names the cycle


PURE_MODULES = [
    name for name, source in sources().items() if source.is_in(PURE) and not source.is_in(EDGES)
]


@pytest.mark.parametrize("name", PURE_MODULES)
def test_policy_is_pure(name: str) -> None:
    """Neither directly nor indirectly: pure logic can be tested without a model."""
    assert reachable(name) <= {*PURE_MODULES, "__init__"}
    for other in reachable(name):
        assert not roots(sources()[other].anywhere) & HEAVY, other


def test_every_third_party_library_has_owners() -> None:
    imported = set[str]().union(*(roots(source.anywhere) for source in sources().values()))
    assert imported - sys.stdlib_module_names - {PACKAGE} == set(OWNERS)


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_by_its_owners_only(library: str) -> None:
    users = [source for source in sources().values() if library in roots(source.with_types)]
    assert {user.name for user in users if not user.is_in(OWNERS[library])} == set()
    # Owners that no longer import it must be removed.
    assert {owner for owner in OWNERS[library] if not any(u.is_in([owner]) for u in users)} == set()


def test_imports_are_at_the_top() -> None:
    """Other imports hide dependencies and cost time in the middle of a request."""
    hiding = [source for source in sources().values() if source.anywhere - source.at_top]
    assert {source.name for source in hiding} == IMPORTS_IN_FUNCTIONS


def test_only_preflight_imports_a_module_by_name() -> None:
    users = {
        source.name
        for source in sources().values()
        if "import_module" in ast.dump(source.tree) or "__import__" in ast.dump(source.tree)
    }
    assert users <= {"runtime.preflight"}


def environment_uses(tree: ast.Module) -> list[str]:
    """Returns the code around each use of the environment."""
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
            # Switches of vLLM, set before it is imported.
            assert set(uses) == {"os.environ.setdefault"}
        elif source.name == "engine.fork_context":
            # All of it goes to a copied process.
            assert set(uses) == {"dict(os.environ)", "os.environ.update"}
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
    # pydantic and numpy may import asyncio.
    blocked = sorted(HEAVY - {"asyncio"})
    code = IMPORT_WITHOUT.format(blocked=blocked, modules=modules)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_application_is_imported_without_an_engine() -> None:
    """The port must answer while torch and vLLM load."""
    blocked = sorted({"torch", "vllm", "transformers", "snac", "gruut"})
    code = IMPORT_WITHOUT.format(blocked=blocked, modules=[f"{PACKAGE}.cli"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""Who may import what, read from the source: the layers of the design, held by machine."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "orpheus_server"

# From the top down. A module imports from its own layer or from one below it, never from above.
LAYERS: dict[str, tuple[str, ...]] = {
    "entry points": (
        "cli",
        "draining_server",
        "fastapi_app",
        "http_protocol",
        "websocket_protocol",
        "bench",
    ),
    "application": ("app",),
    "HTTP": (
        *("routes", "session", "stream_events", "live_response", "disconnect"),
        *("middleware", "access", "security_headers", "http_errors"),
        *("refusal", "write_stall", "peer_transport", "api_document", "talk"),
        *("completion_schemas", "completion_objects", "completion_answer"),
    ),
    "composition root": (
        "runtime",
        "loading",
        "parts",
        "chat_parts",
        "local_chat_parts",
        "warm_up",
        "memory_check",
    ),
    "conductor": ("synthesizer",),
    "chunks": ("chunk_speaker",),
    "attempts": ("attempt", "rollback"),
    "sound on its way": ("voicing", "outlet", "playback", "pacing", "rendering"),
    "adapters": (
        *("engines", "codec", "encoders", "av_encoder", "tempo", "weights", "phonemes", "fakes"),
        *("choice", "logs", "tasks", "merging", "workers", "admission", "metrics", "time_limit"),
        *("schemas", "chat_schemas"),
        *("engine_keeper", "engine_life", "reaper", "reply"),
        *("engine_room", "llm"),
    ),
    "seams": ("interfaces",),
    "pure": (
        *("settings", "errors", "checkpoint", "speech_json", "published", "text", "boundaries"),
        *("planning", "text_stream", "clean_stream", "chunk_ends", "english", "splitting"),
        *("prompts", "frames", "guard", "sampling", "audio", "seams", "splice", "__init__"),
        *("api_keys", "origins", "caller_slots", "capacity", "fair_queue", "restart_budget"),
        *("connection_limits", "conversation", "chat_models", "chat_choice", "stop_filter"),
        *("voice_prompt", "chat_figures", "memory_plan"),
        *("transcripts", "speakable"),
    ),
}
HEAVY = {"torch", "vllm", "fastapi", "starlette", "asyncio", "transformers", "snac", "gruut", "av"}
HTTP_MODULES = {
    *("app", "cli", "fastapi_app", "routes", "session", "live_response", "disconnect"),
    *("middleware", "access", "security_headers", "http_errors"),
}

# Foreign library: the modules that may import it, anywhere in them.
OWNERS = {
    "vllm": {"engines"},
    "torch": {"engines", "codec", "parts", "choice", "memory_check", "bench"},
    "snac": {"codec", "bench"},
    "av": {"tempo", "av_encoder", "bench"},
    "gruut": {"phonemes"},
    "huggingface_hub": {"weights", "llm"},
    "transformers": {"llm"},
    "jinja2": {"llm"},
    "tokenizers": {"prompts", "llm", "bench"},
    "psutil": {"engines", "memory_check"},
    "uvicorn": {"cli", "draining_server", "http_protocol", "websocket_protocol", "bench"},
    "h11": {"http_protocol"},
    "websockets": {"websocket_protocol", "bench"},
    "matplotlib": {"bench"},
    "prometheus_client": {"metrics", "routes", "bench"},
    "httpx2": {"bench", "llm"},
    "openai": {"llm"},
    "fastapi": HTTP_MODULES,
    "starlette": HTTP_MODULES,
    "pydantic_settings": {"settings"},
    "dotenv": {"settings"},
}
IMPORTS_IN_FUNCTIONS = {
    *("parts", "chat_parts", "local_chat_parts", "memory_check", "choice", "phonemes"),
    *("bench.command", "bench.speech"),
}


@dataclass(frozen=True)
class Source:
    """One module: its tree and what it imports, types only for the checker left out."""

    name: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """`routes` for `routes.speech`: the name that the tables use."""
        return self.name.partition(".")[0]

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


def layer_of(part: str) -> int:
    return next(index for index, parts in enumerate(LAYERS.values()) if part in parts)


def reachable(name: str) -> set[str]:
    """The module and all of ours that importing it imports."""
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= own(sources()[current].at_top) - seen
    return seen


def test_every_module_has_a_layer() -> None:
    listed = [part for parts in LAYERS.values() for part in parts]
    assert len(listed) == len(set(listed))
    assert {source.part for source in sources().values()} == set(listed)


@pytest.mark.parametrize("name", sources())
def test_imports_point_down_only(name: str) -> None:
    source = sources()[name]
    for imported in own(source.anywhere):
        assert layer_of(source.part) <= layer_of(sources()[imported].part), imported


@pytest.mark.parametrize("name", LAYERS["pure"])
def test_policy_is_pure(name: str) -> None:
    """Directly or through another module of ours: what decides can be tested without a model."""
    assert {other.partition(".")[0] for other in reachable(name)} <= set(LAYERS["pure"])
    for other in reachable(name):
        assert not roots(sources()[other].anywhere) & HEAVY, other


@pytest.mark.parametrize("library", OWNERS)
def test_a_foreign_library_has_one_owner(library: str) -> None:
    users = {s.part for s in sources().values() if library in roots(s.anywhere)}
    assert users <= OWNERS[library]


def test_imports_are_at_the_top() -> None:
    """Elsewhere they hide what a module needs, and cost their time in the middle of a request."""
    hiding = {source.name for source in sources().values() if source.anywhere - source.at_top}
    assert hiding <= IMPORTS_IN_FUNCTIONS


def test_no_module_is_imported_by_name_but_torchvision() -> None:
    users = {
        source.name
        for source in sources().values()
        if "import_module" in ast.dump(source.tree) or "__import__" in ast.dump(source.tree)
    }
    assert users <= {"choice"}


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
        if source.name == "parts":
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
    modules = [f"{PACKAGE}.{name}" for name in LAYERS["pure"] if name != "__init__"]
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

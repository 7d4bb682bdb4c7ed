"""Loading in the background, failing to load, closing in reverse."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from orpheus_server import runtime as runtime_module
from orpheus_server.choice import Choice
from orpheus_server.errors import EngineDead, EngineNotReady, StartError
from orpheus_server.fakes import ScriptedEngine, ToneDecoder
from orpheus_server.parts import Parts
from orpheus_server.runtime import Runtime, open_runtime
from orpheus_server.settings import Settings, load_settings
from orpheus_server.workers import WorkerPool
from tests.support import POCKET, build_prompts, fitting_speech, wait_for

pytestmark = pytest.mark.anyio


class Loader:
    """Stands for what imports torch and vLLM; waits for `may_go_on` in its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.engine = ScriptedEngine(fitting_speech(POCKET))
        self.may_go_on = threading.Event()
        self.num_failures = 0
        self._error = error
        monkeypatch.setattr(runtime_module, "build_parts", self._build)
        monkeypatch.setattr(runtime_module, "has_cuda", lambda: False)

    def _build(self, choice: Choice, settings: Settings) -> Parts:
        self.may_go_on.wait(10)
        if self._error is not None:
            raise self._error
        return Parts(build_prompts(POCKET), self.engine, ToneDecoder(), WorkerPool(1))

    def on_start_failure(self) -> None:
        self.num_failures += 1


def status_of(runtime: Runtime) -> str:
    return runtime.status


def expect(runtime: Runtime, error: type[Exception]) -> None:
    with pytest.raises(error):
        _ = runtime.synthesizer


async def test_serves_once_it_is_loaded_and_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(monkeypatch)
    settings = load_settings()
    async with open_runtime(settings, on_start_failure=loader.on_start_failure) as runtime:
        assert (status_of(runtime), runtime.checkpoint.name) == ("starting", "pocket")
        expect(runtime, EngineNotReady)
        loader.may_go_on.set()
        await wait_for(lambda: status_of(runtime) == "healthy")
        assert [request.request_id for request in loader.engine.requests] == ["warm-up-0-1"]
        assert runtime.synthesizer is runtime.synthesizer
        loader.engine.is_alive = False
        assert status_of(runtime) == "degraded"
        expect(runtime, EngineDead)
    assert status_of(runtime) == "starting"
    expect(runtime, EngineNotReady)
    assert loader.num_failures == 0


@pytest.mark.parametrize(
    "error", [StartError("no weights"), RuntimeError("a bug"), MemoryError("too big")]
)
async def test_a_failure_to_load_is_kept_and_ends_the_server(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Only known errors did, and after any other the server said "starting" for ever."""
    loader = Loader(monkeypatch, error)
    loader.may_go_on.set()
    async with open_runtime(load_settings(), on_start_failure=loader.on_start_failure) as runtime:
        await wait_for(lambda: loader.num_failures == 1)
        assert str(runtime.start_error) == str(error)
        expect(runtime, EngineNotReady)


async def test_closing_while_it_loads_closes_what_was_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader = Loader(monkeypatch)
    opened = open_runtime(load_settings(), on_start_failure=loader.on_start_failure)
    await opened.__aenter__()
    closing = asyncio.create_task(opened.__aexit__(None, None, None))
    await asyncio.sleep(0)
    assert not closing.done()
    loader.may_go_on.set()
    await closing
    assert loader.engine.is_alive is False
    assert loader.num_failures == 0


@pytest.mark.parametrize(
    ("environment", "read", "expected"),
    [
        ({}, lambda sampling: sampling.temperature, 0.6),
        ({"TTS_TEMPERATURE": "0"}, lambda sampling: sampling.temperature, 0.0),
        ({"TTS_TOP_P": "0.5"}, lambda sampling: sampling.top_p, 0.5),
        (
            {"TTS_REPETITION_PENALTY": "1.2"},
            lambda sampling: sampling.repetition_penalty,
            1.2,
        ),
        ({"TTS_MAX_TOKENS": "500"}, lambda sampling: sampling.max_tokens, None),
    ],
)
async def test_default_sampling(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    read: Callable[..., float],
    expected: float | None,
) -> None:
    """A setting of 0 counts; `TTS_MAX_TOKENS` bounds a generation, it is no caller's own limit."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    loader = Loader(monkeypatch)
    loader.may_go_on.set()
    async with open_runtime(load_settings(), on_start_failure=loader.on_start_failure) as runtime:
        assert read(runtime.default_sampling) == expected

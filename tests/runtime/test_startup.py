"""Loading in the background, failing to load, closing in reverse order."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from orpheus_server.checkpoints.download import Download
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import (
    ChunkFailed,
    EngineDead,
    EngineNotReady,
    ShuttingDown,
    StartError,
    StartFailed,
)
from orpheus_server.fakes import ScriptedEngine, ToneDecoder
from orpheus_server.runtime import startup
from orpheus_server.runtime.serving_config import ServingConfig, resolve_config
from orpheus_server.runtime.speech_stack import SpeechStack
from orpheus_server.runtime.startup import open_runtime
from orpheus_server.runtime.state import Runtime
from orpheus_server.settings import Settings, load_settings
from orpheus_server.synthesis.job import SpeechJob, SpeechParams, SpeechStats
from orpheus_server.synthesis.synthesizer import Synthesizer
from tests.support.app import (
    POCKET,
    POCKET_FRONT_END,
    build_prompts,
    chunks_of,
    endless_script,
    fitting_speech,
    held_script,
    short_script,
    wait_for,
)
from tests.support.hardware import PLAIN_CPU

pytestmark = pytest.mark.anyio


class Loader:
    """Replaces the function that loads torch and vLLM; waits for `may_go_on` in its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.engine = ScriptedEngine(fitting_speech(POCKET))
        self.may_go_on = threading.Event()
        self.num_failures = 0
        self._error = error
        monkeypatch.setattr(startup, "build_speech_stack", self._build)
        monkeypatch.setattr(startup, "find_hardware", lambda engine: PLAIN_CPU)

    def _build(self, config: ServingConfig, settings: Settings, download: Download) -> SpeechStack:
        self.may_go_on.wait(10)
        if self._error is not None:
            raise self._error
        prompts = build_prompts(POCKET)
        return SpeechStack(
            POCKET_FRONT_END,
            prompts,
            self.engine,
            ToneDecoder(),
            WorkerPool(1),
            lambda: self.engine,
        )

    def on_start_failure(self) -> None:
        self.num_failures += 1


def status_of(runtime: Runtime) -> str:
    return runtime.status


def check_synthesizer_raises(runtime: Runtime, error: type[Exception]) -> None:
    with pytest.raises(error):
        _ = runtime.get_synthesizer()


async def test_requests_are_served_after_loading_and_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader = Loader(monkeypatch)
    settings = load_settings()
    async with open_runtime(settings, on_start_failure=loader.on_start_failure) as runtime:
        assert (status_of(runtime), runtime.checkpoint.name) == ("starting", "pocket")
        check_synthesizer_raises(runtime, EngineNotReady)
        loader.may_go_on.set()
        await wait_for(lambda: status_of(runtime) == "healthy")
        alone = ["warm-up-0-1", "alone-0-0-1", "alone-1-0-1"]
        beside = {f"beside-{index}-0-1" for index in range(16)}
        ids = [request.request_id for request in loader.engine.requests]
        assert (ids[:3], set(ids[3:]), len(ids)) == (alone, beside, 19)
        assert runtime.get_synthesizer() is runtime.get_synthesizer()
        loader.engine.is_alive = False
        assert status_of(runtime) == "degraded"
        check_synthesizer_raises(runtime, EngineDead)
    assert status_of(runtime) == "starting"
    check_synthesizer_raises(runtime, ShuttingDown)
    assert loader.num_failures == 0


@pytest.mark.parametrize(("url", "where"), [("http://[::1]:80", ": http://[::1]:80"), (None, "")])
async def test_the_log_says_when_loading_begins_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str | None, where: str
) -> None:
    """It said "serving" while it was loading, and did not say where it serves."""
    caplog.set_level(logging.INFO, startup.__name__)
    loader = Loader(monkeypatch)
    opened = open_runtime(load_settings(), on_start_failure=loader.on_start_failure, url=url)
    async with opened as runtime:
        described = runtime.config.describe()
        assert caplog.messages == ["loading, with the engine vLLM", f"loading {described}"]
        loader.may_go_on.set()
        await wait_for(lambda: len(caplog.messages) == 3)
        assert re.fullmatch(rf"ready{re.escape(where)} \(after \d\.\d s\)", caplog.messages[2])


@pytest.mark.parametrize(
    "error", [StartError("no weights"), RuntimeError("a bug"), MemoryError("too big")]
)
async def test_a_failure_to_load_is_stored_and_stops_the_server(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Only known errors stopped it; after any other the server stayed "starting" forever."""
    loader = Loader(monkeypatch, error)
    loader.may_go_on.set()
    async with open_runtime(load_settings(), on_start_failure=loader.on_start_failure) as runtime:
        await wait_for(lambda: loader.num_failures == 1)
        assert str(runtime.start_error) == str(error)
        check_synthesizer_raises(runtime, StartFailed)


async def test_an_engine_that_exits_during_shutdown_is_not_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C during streams, while a second engine was loading, logged "cannot start"."""
    loader = Loader(monkeypatch, StartError("the core has ended"))
    others = asyncio.all_tasks()
    async with open_runtime(load_settings(), on_start_failure=loader.on_start_failure) as runtime:
        (load_task,) = asyncio.all_tasks() - others
        runtime.begin_drain()
        loader.may_go_on.set()
        await asyncio.wait([load_task])
    assert (loader.num_failures, runtime.start_error) == (0, None)


async def test_closing_during_loading_closes_the_engine_that_was_built(
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


async def test_closing_that_takes_too_long_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C while the model loaded waited for up to 40 s until it was loaded."""
    loader = Loader(monkeypatch)
    monkeypatch.setattr(startup, "CLOSE_LIMIT_SEC", 0.01)
    abandoned = asyncio.Event()
    opened = open_runtime(
        load_settings(), on_start_failure=loader.on_start_failure, abandon=abandoned.set
    )
    await opened.__aenter__()
    closing = asyncio.create_task(opened.__aexit__(None, None, None))
    await asyncio.wait_for(abandoned.wait(), 10)
    assert not closing.done()
    loader.may_go_on.set()
    await closing


async def test_closing_in_time_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(monkeypatch)
    loader.may_go_on.set()
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def abandon() -> None:
        raise AssertionError

    def record(delay: float, callback: Callable[..., object], *args: object) -> object:
        timer = call_later(delay, callback, *args)
        if callback is abandon:
            timers.append(timer)
        return timer

    monkeypatch.setattr(loop, "call_later", record)
    async with open_runtime(
        load_settings(), on_start_failure=loader.on_start_failure, abandon=abandon
    ) as runtime:
        await wait_for(lambda: status_of(runtime) == "healthy")
        assert timers == []
    assert [timer.cancelled() for timer in timers] == [True]


async def test_the_stack_is_closed_in_reverse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder needs the pool until it is closed, and the engine feeds the decoder."""
    closed: list[str] = []

    class Engine(ScriptedEngine):
        async def close(self) -> None:
            closed.append("engine")
            await super().close()

    class Decoder(ToneDecoder):
        async def close(self) -> None:
            closed.append("decoder")

    class Pool(WorkerPool):
        async def close(self) -> None:
            closed.append("pool")
            await super().close()

    def build(config: ServingConfig, settings: Settings, download: Download) -> SpeechStack:
        engine = Engine(fitting_speech(POCKET))
        prompts = build_prompts(POCKET)
        return SpeechStack(POCKET_FRONT_END, prompts, engine, Decoder(), Pool(1), lambda: engine)

    loader = Loader(monkeypatch)
    monkeypatch.setattr(startup, "build_speech_stack", build)
    async with open_runtime(load_settings(), on_start_failure=loader.on_start_failure) as runtime:
        await wait_for(lambda: status_of(runtime) == "healthy")
        assert closed == []
    assert closed == ["engine", "decoder", "pool"]


@dataclass(frozen=True)
class Assembled:
    """A runtime with fakes that needs no loading."""

    runtime: Runtime
    engine: ScriptedEngine
    synthesizer: Synthesizer

    async def speak(self, request_id: str, num_chunks: int) -> bytes:
        chunks = chunks_of(*["Abcdefg hijklmno."] * num_chunks)
        sampling = self.runtime.services.default_sampling
        params = SpeechParams(POCKET.default_voice, sampling, response_format="pcm", seed=7)
        job = SpeechJob(request_id, chunks, params)
        return await self.synthesizer.collect(job, SpeechStats())


@asynccontextmanager
async def assemble(settings: Settings, *, is_cuda: bool = False) -> AsyncIterator[Assembled]:
    config = replace(resolve_config(settings, PLAIN_CPU), is_cuda=is_cuda)
    engine, pool = ScriptedEngine(fitting_speech(POCKET)), WorkerPool(2)
    runtime = Runtime(settings, config)
    prompts = build_prompts(POCKET)
    speech = SpeechStack(POCKET_FRONT_END, prompts, engine, ToneDecoder(), pool, lambda: engine)
    synthesizer = runtime.assemble(speech)
    yield Assembled(runtime, engine, synthesizer)
    await pool.close()


@pytest.mark.parametrize(
    ("is_deterministic", "is_cuda", "max_active"),
    [(False, False, 4), (True, False, 1), (True, True, 4)],
)
async def test_deterministic_runs_one_generation_at_a_time_on_the_cpu(
    is_deterministic: bool, is_cuda: bool, max_active: int
) -> None:
    """Requests in one batch change each other's last bits; CUDA has batch-invariant kernels."""
    settings = load_settings(tts_deterministic=is_deterministic)
    async with assemble(settings, is_cuda=is_cuda) as assembled:
        gate = asyncio.Event()
        assembled.engine.enqueue(*[held_script(short_script(16), gate)] * 4)
        speaking = asyncio.gather(assembled.speak("a", 2), assembled.speak("b", 2))
        await wait_for(lambda: assembled.engine.num_active == max_active)
        gate.set()
        first, second = await speaking
        assert first == second
        assert assembled.engine.max_active == max_active
        assert len(assembled.engine.requests) == 4


async def test_settings_of_attempts() -> None:
    settings = load_settings(tts_max_attempts=2, tts_on_failure="error", tts_max_tokens=140)
    async with assemble(settings) as assembled:
        assembled.engine.enqueue(*[endless_script(20)] * 2)
        with pytest.raises(ChunkFailed, match="in 2 attempts"):
            await assembled.speak("r", 1)
        # Without the setting, 15 expected frames would allow 74 times 7.
        assert [request.max_tokens for request in assembled.engine.requests] == [140] * 2
        counts = assembled.runtime.counts
        assert (counts.num_chunks, counts.num_attempts, counts.num_degraded_chunks) == (1, 2, 0)


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
    """A setting of 0 applies; `TTS_MAX_TOKENS` limits generations, it is not a sampling default."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    loader = Loader(monkeypatch)
    loader.may_go_on.set()
    async with open_runtime(load_settings(), on_start_failure=loader.on_start_failure) as runtime:
        assert read(runtime.services.default_sampling) == expected


@pytest.mark.parametrize(("name", "num_lines"), [("auto", 1), (None, 0), ("echo", 0)])
async def test_auto_without_a_gpu_disables_chat(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str | None,
    num_lines: int,
) -> None:
    caplog.set_level(logging.INFO)
    loader = Loader(monkeypatch)
    loader.may_go_on.set()
    settings = load_settings(llm_model_name=name)
    async with open_runtime(settings, on_start_failure=loader.on_start_failure) as runtime:
        assert (runtime.config.chat is None) == (name != "echo")
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("no chat")]
    assert lines == ["no chat: LLM_MODEL_NAME=auto needs a CUDA GPU, and there is none"] * num_lines

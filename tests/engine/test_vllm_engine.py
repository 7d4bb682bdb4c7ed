"""How engines start and end: context, memory, death. The other tests are in `test_server.py`."""

import asyncio
import logging
import shutil
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.errors import EngineDead, StartError
from orpheus_server.interfaces import TokenDelta, TokenRequest
from orpheus_server.runtime.hardware import has_cpp_compiler
from orpheus_server.runtime.serving_config import POCKET_FOLDER
from tests.support.engine_contract import CONTRACT

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # vLLM's imports raise deprecation warnings
]


def options(folder: Path = POCKET_FOLDER, **changes: Any) -> Any:
    from orpheus_server.engine.vllm_loader import VllmOptions

    base = VllmOptions(
        folder=folder,
        is_cuda=False,
        dtype="float32",
        max_model_len=2048,
        max_num_seqs=8,
        gpu_memory_utilization=0.9,
        is_eager=True,
    )
    return replace(base, **changes)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(logging.getLogger("orpheus_server"), "propagate", True)
    return caplog


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.published_like import write_model

    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


def is_of_multiprocessing(process: psutil.Process) -> bool:
    """Whether it is a process of the library, which stays; an engine has a title of its own."""
    command = str(process.cmdline())
    return "resource_tracker" in command or "forkserver" in command


def children() -> set[psutil.Process]:
    return {
        child
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and not is_of_multiprocessing(child)
    }


@pytest.fixture(autouse=True)
def _leaves_no_process() -> Iterator[None]:
    """The shared server may be running: its engines do not belong to these tests.

    When all tests ran, they were counted as leaks, and one test killed them.
    """
    before = children()
    yield
    assert children() == before


async def exhaust(deltas: AsyncGenerator[TokenDelta, None]) -> None:
    async for _ in deltas:
        pass


def test_the_context_is_lowered_to_fit_the_cache(
    long_model: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    """With 131,072 tokens of context and a small cache other servers fail to start."""
    from orpheus_server.engine import speech_engine, vllm_loader

    monkeypatch.setattr(vllm_loader, "CPU_KV_CACHE_BYTES", 5 << 20)
    engine = speech_engine.build_speech_engine(
        ENGLISH, options(long_model, dtype="bfloat16", max_model_len=131_072)
    )
    try:
        assert 2048 <= engine.max_model_len < 16_384
        assert f"from 131072 to {engine.max_model_len} tokens: the key-value cache" in logged.text
    finally:
        asyncio.run(engine.close())


def test_the_start_fails_below_2048_tokens(
    long_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orpheus_server.engine import speech_engine, vllm_loader

    monkeypatch.setattr(vllm_loader, "CPU_KV_CACHE_BYTES", 1 << 19)
    with pytest.raises(StartError, match="at least 2048 are needed"):
        speech_engine.build_speech_engine(ENGLISH, options(long_model, dtype="bfloat16"))


def test_a_folder_that_is_not_a_model(tmp_path: Path) -> None:
    from orpheus_server.engine.speech_engine import build_speech_engine

    with pytest.raises(StartError, match=r"config\.json is not the configuration of a Llama"):
        build_speech_engine(ENGLISH, options(tmp_path))
    shutil.copy(POCKET_FOLDER / "config.json", tmp_path)
    with pytest.raises(StartError, match="vLLM cannot load"):
        build_speech_engine(ENGLISH, options(tmp_path))


def test_the_contract_of_engines() -> None:
    from orpheus_server.engine.speech_engine import build_speech_engine

    engine = build_speech_engine(load_speech_json(POCKET_FOLDER), options())

    async def work() -> None:
        for check in CONTRACT:
            await check(engine)
        await engine.close()

    asyncio.run(work())


def test_the_death_of_an_engine_and_the_limit_of_a_model(
    logged: pytest.LogCaptureFixture,
) -> None:
    """vLLM's own count of unfinished requests does not drop when its core dies."""
    from orpheus_server.engine.speech_engine import build_speech_engine

    checkpoint = load_speech_json(POCKET_FOLDER)
    engine = build_speech_engine(checkpoint, options(max_model_len=8192))
    assert engine.max_model_len == 2048
    assert "from 8192 to 2048 tokens: the model holds no more" in logged.text
    request = TokenRequest(
        request_id="r",
        prompt_token_ids=(1, 5, 19, 63, 23, 55, 9, 2, 3),
        sampling=checkpoint.sampling,
        max_tokens=1900,
        seed=1,
    )

    async def work() -> None:
        assert engine.is_alive
        deltas = [engine.generate(request) for _ in range(3)]
        for each in deltas:
            await anext(each)
        assert engine.num_active == 3
        for process_id in engine.process_ids:
            psutil.Process(process_id).kill()
        for each in deltas:
            with pytest.raises(EngineDead) as caught:
                await exhaust(each)
            # Its frames held the engine's threads and sockets until the request had been spoken.
            assert caught.value.__cause__ is not None
            assert caught.value.__cause__.__traceback__ is None
        assert not engine.is_alive
        assert engine.num_active == 0
        with pytest.raises(EngineDead):
            await anext(engine.generate(request))
        await engine.close()

    asyncio.run(work())


def test_more_prompts_than_a_step_holds() -> None:
    """The last one was computed in two parts, and vLLM died of its seed: nine chunks of a file that
    continued after a pause ended every request on the server.
    """
    from orpheus_server.engine.speech_engine import build_speech_engine

    checkpoint = load_speech_json(POCKET_FOLDER)
    engine = build_speech_engine(checkpoint, options())
    first_slot = checkpoint.layout.audio_token_base
    prompt = (1, 5, 19, 63, 23, 55, 9, 2, 3)
    requests = [
        TokenRequest(
            request_id=f"r{index}",
            # Whole frames follow the prompt: the chunk continues after them.
            prompt_token_ids=(*prompt, *[first_slot + slot * 128 for slot in range(7)] * 60),
            sampling=checkpoint.sampling,
            max_tokens=14,
            seed=index,
        )
        for index in range(8)
    ]
    assert sum(len(request.prompt_token_ids) for request in requests) > 2048

    async def work() -> None:
        await asyncio.gather(*(exhaust(engine.generate(request)) for request in requests))
        assert engine.is_alive
        await engine.close()

    asyncio.run(work())


def test_a_stopped_engine_is_closed_too() -> None:
    """A stopped engine lets every request hang and ignores the signal to end."""
    from orpheus_server.engine.speech_engine import build_speech_engine

    before = children()
    engine = build_speech_engine(load_speech_json(POCKET_FOLDER), options())
    started = children() - before
    assert engine.process_ids == {child.pid for child in started}
    # A second process would wait for the first one in a busy loop, on a core of its own.
    assert len(started) == 1
    for child in started:
        child.suspend()
    asyncio.run(engine.close())
    assert children() == before
    engine.kill()


def test_a_compiled_model_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """vLLM could not read what it had compiled for a CPU, and compiled at every start."""
    from orpheus_server.engine.speech_engine import build_speech_engine

    if not has_cpp_compiler():
        pytest.skip("needs a C++ compiler and Python's headers")
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    checkpoint = load_speech_json(POCKET_FOLDER)
    asyncio.run(build_speech_engine(checkpoint, options(is_eager=False)).close())
    (compiled,) = tmp_path.glob("torch_compile_cache/torch_aot_compile/*/*/model")
    written_at = compiled.stat().st_mtime_ns
    # The start fails if it cannot be read.
    monkeypatch.setenv("VLLM_FORCE_AOT_LOAD", "1")
    asyncio.run(build_speech_engine(checkpoint, options(is_eager=False)).close())
    assert compiled.stat().st_mtime_ns == written_at

"""Opening a local language model, with a scripted engine."""

import logging
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from orpheus_server.chat.local.model import LocalChatModel
from orpheus_server.chat.selection import ChatModelConfig
from orpheus_server.engine.group import EngineGroup
from orpheus_server.engine.supervisor import EngineSupervisor
from orpheus_server.errors import StartError
from orpheus_server.fakes import Script, ScriptedEngine
from orpheus_server.interfaces import ChatModel
from orpheus_server.runtime.chat_stack import open_chat_model
from orpheus_server.settings import load_settings

pytestmark = pytest.mark.anyio


class Engines:
    """Replaces the modules that start vLLM, and records the engines and their options."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built: list[ScriptedEngine] = []
        self.requested: list[tuple[set[int], dict[str, Any], int]] = []
        self.error: Exception | None = None
        loader, chat = ModuleType("vllm_loader"), ModuleType("chat_engine")
        loader.VllmOptions = dict  # type: ignore[attr-defined]
        chat.build_chat_engine = self._build  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "orpheus_server.engine.vllm_loader", loader)
        monkeypatch.setitem(sys.modules, "orpheus_server.engine.chat_engine", chat)

    def _build(
        self, stops: set[int], options: dict[str, Any], *, own_max_len: int, min_model_len: int
    ) -> Any:
        assert min_model_len == 512
        self.requested.append((stops, options, own_max_len))
        engine = ScriptedEngine(lambda request: self._script(), max_model_len=2048)
        self.built.append(engine)
        return engine

    def _script(self) -> Script:
        return Script((300, 301, 5), error=self.error)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    return Engines(monkeypatch)


async def open_model(
    stack: AsyncExitStack,
    source: str,
    *,
    is_cuda: bool = False,
    on_give_up: Callable[[], None] = lambda: None,
) -> ChatModel:
    settings = load_settings(llm_model_name=source, llm_gpu_memory_utilization=0.3)
    return await open_chat_model(
        ChatModelConfig("local", source),
        settings,
        stack,
        is_cuda=is_cuda,
        group=EngineGroup(),
        on_give_up=on_give_up,
    )


@pytest.mark.parametrize(("is_cuda", "max_num_seqs"), [(False, 8), (True, 64)])
async def test_a_model_is_loaded_warmed_up_and_supervised(
    engines: Engines,
    tiny_gemma: Path,
    caplog: pytest.LogCaptureFixture,
    is_cuda: bool,
    max_num_seqs: int,
) -> None:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:
        model = await open_model(stack, str(tiny_gemma), is_cuda=is_cuda)
        assert isinstance(model, LocalChatModel)
        assert isinstance(model.engine, EngineSupervisor)
        assert (model.engine.state, model.is_alive) == ("serving", True)
        (engine,) = engines.built
        stops, options, own_max_len = engines.requested[0]
        assert (stops, own_max_len) == ({1, 5}, 4096)
        assert options == {
            "folder": tiny_gemma,
            "is_cuda": is_cuda,
            "dtype": "bfloat16",
            "max_model_len": 2048,
            "max_num_seqs": max_num_seqs,
            "gpu_memory_utilization": 0.3,
            "is_eager": not is_cuda,
        }
        assert [requested.request_id for requested in engine.requests] == ["chat-warm-up"]
        info = model.info
        assert (info.name, info.parameters) == ("gemma", "112.1K")
        assert info.license == "Gemma Terms of Use"
    assert not engine.is_alive
    device = "CUDA" if is_cuda else "CPU"
    (line,) = [r.getMessage() for r in caplog.records if "chat_stack" in r.name]
    assert line.startswith(
        f"language model gemma (112.1K), engine vLLM, device {device}, bfloat16, context 2048 "
    )


async def test_a_model_whose_warm_up_fails_is_closed(engines: Engines, tiny_gemma: Path) -> None:
    engines.error = RuntimeError("no kernel")
    async with AsyncExitStack() as stack:
        with pytest.raises(RuntimeError, match="no kernel"):
            await open_model(stack, str(tiny_gemma))
    assert not engines.built[0].is_alive


async def test_a_folder_that_is_not_a_chat_model(engines: Engines, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError, match="the tokenizer of .* cannot be loaded"):
            await open_model(stack, str(tmp_path))
    assert engines.built == []

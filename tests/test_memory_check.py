"""What is measured before anything is loaded."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orpheus_server import loading
from orpheus_server.choice import choose
from orpheus_server.engine.memory import GIB
from orpheus_server.errors import StartError
from orpheus_server.loading import open_runtime
from orpheus_server.memory_check import check_memory
from orpheus_server.settings import load_settings
from tests.support.app import wait_for


@pytest.fixture
def set_available(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_available(num_bytes: int) -> None:
        memory = SimpleNamespace(available=num_bytes)
        monkeypatch.setattr("psutil.virtual_memory", lambda: memory)

    return set_available


def check(**settings: Any) -> None:
    loaded = load_settings(**settings)
    check_memory(choose(loaded, has_cuda=False), loaded)


def test_both_are_counted(set_available: Callable[[int], None], tiny_gemma: Path) -> None:
    """The bundled voice has 1.5 M numbers in float32, the tiny model few."""
    set_available(3 * GIB + (12 << 20))
    check(llm_model_name=str(tiny_gemma))
    set_available(3 * GIB + (4 << 20))
    with pytest.raises(StartError, match=r"3\.0 GiB of memory are needed \(voice 0\.0 GiB, lang"):
        check(llm_model_name=str(tiny_gemma))


@pytest.mark.parametrize("name", [None, "echo", "auto"])
def test_without_a_language_model_here_nothing_is_measured(
    set_available: Callable[[int], None], name: str | None
) -> None:
    set_available(0)
    check(llm_model_name=name)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"has no weights \(model\*\.safetensors\)"):
        check(llm_model_name=str(tmp_path))


def test_a_model_that_is_none_for_chat(tiny_gemma: Path, tmp_path: Path) -> None:
    """It was told when the voice had been loaded, and served for some seconds."""
    folder = shutil.copytree(tiny_gemma, tmp_path / "base")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(StartError, match="is not a chat model"):
        check(llm_model_name=str(folder))


def test_on_a_gpu_the_device_is_asked(monkeypatch: pytest.MonkeyPatch, tiny_gemma: Path) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB, 24 * GIB))
    settings = load_settings(llm_model_name=str(tiny_gemma))
    choice = replace(choose(settings, has_cuda=False), is_cuda=True, gpu_share=0.5)
    with pytest.raises(StartError, match=r"want 18\.0 GiB of the GPU, where only 1\.0 GiB of 24"):
        check_memory(choice, settings)


@pytest.mark.anyio
async def test_the_start_fails_before_the_voice_is_loaded(
    monkeypatch: pytest.MonkeyPatch, set_available: Callable[[int], None], tiny_gemma: Path
) -> None:
    """It was told after minutes of loading, by a core that was killed for its memory."""
    set_available(GIB)
    failures: list[str] = []
    monkeypatch.setattr(loading, "build_parts", lambda choice, settings: failures.append("loaded"))
    settings = load_settings(llm_model_name=str(tiny_gemma), tts_model_name="pocket")
    async with open_runtime(settings, on_start_failure=lambda: failures.append("failed")) as opened:
        await wait_for(lambda: failures != [])
        assert failures == ["failed"]
        assert "or run the language model elsewhere" in str(opened.start_error)

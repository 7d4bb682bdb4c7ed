"""Errors that are found before anything is loaded."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orpheus_server.engine.memory import GIB
from orpheus_server.errors import StartError
from orpheus_server.interfaces import EngineName
from orpheus_server.runtime import startup
from orpheus_server.runtime.preflight import (
    check_chat,
    check_memory,
    check_start,
    check_torchvision,
)
from orpheus_server.runtime.serving_config import resolve_config
from orpheus_server.runtime.startup import open_runtime
from orpheus_server.settings import load_settings
from tests.support.app import wait_for
from tests.support.hardware import PLAIN_CPU


@pytest.fixture
def set_available(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_available(num_bytes: int) -> None:
        memory = SimpleNamespace(available=num_bytes)
        monkeypatch.setattr("psutil.virtual_memory", lambda: memory)

    return set_available


def check(**settings: Any) -> None:
    loaded = load_settings(**settings)
    check_memory(resolve_config(loaded, PLAIN_CPU), loaded)


def test_both_models_are_counted(set_available: Callable[[int], None], tiny_gemma: Path) -> None:
    """The bundled voice has 1.5 M parameters in float32, the tiny model few."""
    set_available(3 * GIB + (12 << 20))
    check(llm_model_name=str(tiny_gemma))
    set_available(3 * GIB + (4 << 20))
    with pytest.raises(StartError, match=r"3\.0 GiB of memory are needed \(voice 0\.0 GiB, lang"):
        check(llm_model_name=str(tiny_gemma))


@pytest.mark.parametrize("name", [None, "echo", "auto"])
def test_memory_is_not_checked_without_a_local_language_model(
    set_available: Callable[[int], None], name: str | None
) -> None:
    set_available(0)
    check(llm_model_name=name)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"has no weights \(model\*\.safetensors\)"):
        check(llm_model_name=str(tmp_path))


def test_a_model_that_is_not_for_chat(tiny_gemma: Path, tmp_path: Path) -> None:
    """The error came only after the voice had been loaded and had served for some seconds."""
    folder = shutil.copytree(tiny_gemma, tmp_path / "base")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(StartError, match="is not a chat model"):
        check(llm_model_name=str(folder))


def test_on_a_gpu_its_free_memory_is_checked(
    monkeypatch: pytest.MonkeyPatch, tiny_gemma: Path
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB, 24 * GIB))
    settings = load_settings(llm_model_name=str(tiny_gemma))
    config = replace(resolve_config(settings, PLAIN_CPU), is_cuda=True, gpu_share=0.5)
    with pytest.raises(
        StartError, match=r"would reserve 18\.0 GiB of the GPU, but only 1\.0 GiB of 24"
    ):
        check_memory(config, settings)


@pytest.mark.anyio
async def test_the_start_fails_before_the_voice_is_loaded(
    monkeypatch: pytest.MonkeyPatch, set_available: Callable[[int], None], tiny_gemma: Path
) -> None:
    """The error came only after minutes of loading, when an engine core ran out of memory."""
    set_available(GIB)
    failures: list[str] = []
    monkeypatch.setattr(startup, "build_speech_stack", lambda *models: failures.append("loaded"))
    settings = load_settings(llm_model_name=str(tiny_gemma), tts_model_name="pocket")
    async with open_runtime(settings, on_start_failure=lambda: failures.append("failed")) as opened:
        await wait_for(lambda: failures != [])
        assert failures == ["failed"]
        assert "or run the language model elsewhere" in str(opened.start_error)


@pytest.mark.parametrize(("device", "num_devices"), [("cuda", 0), ("cuda:1", 0), ("cuda:1", 1)])
def test_a_codec_device_that_does_not_exist(
    device: str, num_devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch reported it in a traceback, and only after the model had been loaded."""
    monkeypatch.setattr("orpheus_server.runtime.preflight.num_cuda_devices", lambda: num_devices)
    with pytest.raises(StartError, match=f"SNAC_DEVICE='{device}': must be cpu, or one of the"):
        check_start(load_settings(snac_device=device))


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1", "cpu"])
def test_a_codec_device_that_exists(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orpheus_server.runtime.preflight.num_cuda_devices", lambda: 2)
    check_start(load_settings(snac_device=device))


@pytest.mark.parametrize(
    "failure",
    [
        'RuntimeError("operator torchvision::nms does not exist")',
        'ImportError("libcudart.so.13: cannot open shared object file")',
    ],
)
def test_a_torchvision_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: str
) -> None:
    """`pip install -r requirements.txt` without --no-deps: "operator torchvision::nms …"."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(f"raise {failure}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StartError) as caught:
        check_torchvision()
    message = str(caught.value)
    assert failure.split('"')[1] in message
    assert "pip uninstall -y torchvision" in message
    assert "pip install --no-deps -r requirements.txt" in message


def test_a_torchvision_that_can_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torchvision.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    check_torchvision()


def test_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_torchvision()


def test_an_unknown_model_is_found_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_start(load_settings())
    check_start(load_settings(tts_model_name="orpheus-3b-0.1-ft"))
    with pytest.raises(StartError, match="TTS_MODEL_NAME='/x/y'"):
        check_start(load_settings(tts_model_name="/x/y"))


@pytest.mark.parametrize("name", [None, "echo", "auto", "google/gemma-2-2b-it"])
def test_language_models_that_may_exist(name: str | None) -> None:
    check_chat(load_settings(llm_model_name=name), "vllm", has_vllm=True)


def test_a_language_model_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(tmp_path / "model"), "~/model"):
        with pytest.raises(StartError, match=r"LLM_MODEL_NAME='.*/model': the folder has no conf"):
            check_start(load_settings(llm_model_name=name))
    (tmp_path / "model" / "config.json").write_text("{}")
    for name in (str(tmp_path / "model"), "~/model"):
        check_chat(load_settings(llm_model_name=name), "vllm", has_vllm=True)


@pytest.mark.parametrize("name", ["gemma", "/no/such/folder", "a/b/c", "./x"])
def test_a_language_model_that_cannot_exist(name: str) -> None:
    with pytest.raises(StartError) as caught:
        check_chat(load_settings(llm_model_name=name), "vllm", has_vllm=True)
    assert str(caught.value) == (
        f"LLM_MODEL_NAME={name!r}: there is no folder {Path(name).absolute()}. It must be auto, "
        "echo, a folder with a config.json, a hub id like 'owner/name', or with LLM_BASE_URL the "
        "name that the server there knows."
    )


def test_a_remote_model_may_have_any_name() -> None:
    settings = load_settings(llm_model_name="gemma2:2b", llm_base_url="http://127.0.0.1:1/v1")
    check_chat(settings, "vllm", has_vllm=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"llm_model_name": "owner/name", "tts_gpu_memory_utilization": 0.9},
        {"llm_model_name": "auto", "llm_gpu_memory_utilization": 0.7},
    ],
)
def test_shares_that_add_up_to_more_than_a_gpu(settings: dict[str, Any]) -> None:
    """Checked at the start, even on a machine without a GPU."""
    with pytest.raises(StartError, match="lower one until they are at most 1"):
        check_chat(load_settings(**settings), "vllm", has_vllm=True)


def test_shares_are_not_added_without_a_local_language_model() -> None:
    for name in (None, "echo"):
        settings = load_settings(
            llm_model_name=name, tts_gpu_memory_utilization=0.9, llm_gpu_memory_utilization=0.9
        )
        check_chat(settings, "vllm", has_vllm=True)


@pytest.mark.parametrize("engine", ["transformers", "completions"])
def test_shares_are_not_added_for_an_engine_that_reserves_none(engine: EngineName) -> None:
    settings = load_settings(
        llm_model_name="owner/name", tts_gpu_memory_utilization=0.9, llm_gpu_memory_utilization=0.9
    )
    check_chat(settings, engine, has_vllm=True)


@pytest.mark.parametrize("name", ["google/gemma-2-2b-it", "/models/own"])
def test_a_language_model_in_this_process_without_vllm(name: str) -> None:
    """The import failed only after the voice had been loaded."""
    with pytest.raises(StartError) as caught:
        check_chat(load_settings(llm_model_name=name), "transformers", has_vllm=False)
    assert str(caught.value) == (
        f"LLM_MODEL_NAME={name!r}: a language model in this process needs vLLM, which is not "
        "installed. echo works without it, and so does a server at LLM_BASE_URL."
    )


@pytest.mark.parametrize("name", [None, "echo", "auto"])
def test_chat_without_vllm(name: str | None) -> None:
    check_chat(load_settings(llm_model_name=name), "completions", has_vllm=False)


def test_the_language_model_alone_is_counted_beside_completion_servers(
    set_available: Callable[[int], None], tiny_gemma: Path
) -> None:
    """The voice's weights are not on this machine."""
    settings = load_settings(llm_model_name=str(tiny_gemma), tts_model_name="pocket")
    config = replace(resolve_config(settings, PLAIN_CPU), engine="completions")
    set_available(0)
    with pytest.raises(StartError) as caught:
        check_memory(config, settings)
    assert "voice" not in str(caught.value)

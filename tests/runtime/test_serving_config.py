"""The choice of checkpoint, device and dtype, and the reason that is logged for it."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.weights import find_files
from orpheus_server.concurrency import num_cores
from orpheus_server.errors import StartError
from orpheus_server.runtime.engine_choice import EngineChoice
from orpheus_server.runtime.hardware import Hardware
from orpheus_server.runtime.serving_config import (
    POCKET_FOLDER,
    ServingConfig,
    find_checkpoint,
    resolve_config,
)
from orpheus_server.settings import load_settings
from tests.support.hardware import CUDA, PLAIN_CPU
from tests.support.hub import StubHub


def resolve(hardware: Hardware, **settings: Any) -> ServingConfig:
    return resolve_config(load_settings(**settings), hardware)


def test_without_a_gpu_the_bundled_voice_is_served() -> None:
    config = resolve(PLAIN_CPU)
    assert config.checkpoint.name == "pocket"
    assert (config.dtype, config.codec_device) == ("float32", "cpu")
    assert (config.max_model_len, config.max_num_seqs) == (2048, 32)
    assert config.max_workers == num_cores()
    assert config.is_eager
    assert config.describe() == (
        "model pocket, engine vLLM, device CPU, float32: there is no CUDA GPU and TTS_MODEL_NAME "
        "is not set, so the bundled voice"
    )


def test_with_a_gpu_the_english_checkpoint_is_served() -> None:
    config = resolve(CUDA)
    assert (config.dtype, config.codec_device) == ("bfloat16", "cuda")
    assert (config.max_model_len, config.max_num_seqs, config.max_workers) == (8192, 256, 16)
    assert config.describe() == (
        "model canopylabs/orpheus-3b-0.1-ft, engine vLLM, device CUDA, bfloat16: there is a CUDA "
        "GPU and TTS_MODEL_NAME is not set"
    )


def test_aliases_of_voices() -> None:
    checkpoint = resolve(PLAIN_CPU, tts_voice_aliases="narrator=rms").checkpoint
    assert checkpoint.voice_aliases["narrator"] == "rms"
    with pytest.raises(StartError, match="TTS_VOICE_ALIASES='narrator=tom'"):
        resolve(PLAIN_CPU, tts_voice_aliases="narrator=tom")


@pytest.mark.parametrize(
    ("hardware", "engine", "expected", "codec_device"),
    [
        (
            PLAIN_CPU,
            EngineChoice("transformers", "there is no vLLM"),
            "model pocket, engine transformers, device CPU, float32: there is no CUDA GPU and "
            "TTS_MODEL_NAME is not set, so the bundled voice, and there is no vLLM",
            "cpu",
        ),
        (
            replace(PLAIN_CPU, has_mps=True),
            EngineChoice("transformers", "TTS_ENGINE is set"),
            "model pocket, engine transformers, device MPS, float32: there is no CUDA GPU and "
            "TTS_MODEL_NAME is not set, so the bundled voice, and TTS_ENGINE is set",
            "cpu",
        ),
        (
            CUDA,
            EngineChoice("transformers", "there is no vLLM"),
            "model canopylabs/orpheus-3b-0.1-ft, engine transformers, device CUDA, bfloat16: "
            "there is a CUDA GPU and TTS_MODEL_NAME is not set, and there is no vLLM",
            "cuda",
        ),
        (
            PLAIN_CPU,
            EngineChoice("completions", "TTS_COMPLETIONS_URL is set"),
            "model canopylabs/orpheus-3b-0.1-ft, engine completions, codec on CPU: "
            "TTS_MODEL_NAME is not set, and TTS_COMPLETIONS_URL is set",
            "cpu",
        ),
        (
            CUDA,
            EngineChoice("completions", "TTS_COMPLETIONS_URL is set"),
            "model canopylabs/orpheus-3b-0.1-ft, engine completions, codec on CUDA: "
            "TTS_MODEL_NAME is not set, and TTS_COMPLETIONS_URL is set",
            "cuda",
        ),
    ],
)
def test_other_engines(
    hardware: Hardware, engine: EngineChoice, expected: str, codec_device: str
) -> None:
    config = resolve_config(load_settings(), hardware, engine, has_vllm=False)
    assert config.describe() == expected
    assert (config.engine, config.codec_device) == (engine.name, codec_device)
    assert config.max_num_seqs == 32


def test_auto_has_no_language_model_without_vllm() -> None:
    settings, engine = load_settings(llm_model_name="auto"), EngineChoice("completions")
    assert resolve_config(settings, CUDA, engine, has_vllm=False).chat is None
    assert resolve_config(settings, CUDA, engine, has_vllm=True).chat is not None


def test_settings_take_precedence() -> None:
    config = resolve(
        CUDA,
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


def test_a_cpu_with_bfloat16_and_a_compiler_uses_both() -> None:
    """The bundled voice is twice as fast with them."""
    config = resolve(replace(PLAIN_CPU, has_bfloat16=True, can_compile=True))
    assert (config.dtype, config.is_eager) == ("bfloat16", False)
    config = resolve(replace(PLAIN_CPU, has_bfloat16=True))
    assert (config.dtype, config.is_eager) == ("bfloat16", True)
    config = resolve(replace(PLAIN_CPU, can_compile=True))
    assert (config.dtype, config.is_eager) == ("float32", False)


@pytest.mark.parametrize("is_eager", [False, True])
def test_whether_to_compile_can_be_set(is_eager: bool) -> None:
    for hardware in (PLAIN_CPU, CUDA):
        assert resolve(hardware, tts_enforce_eager=is_eager).is_eager is is_eager


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
    """A folder that did not exist was never called missing."""
    with pytest.raises(StartError) as caught:
        find(name)
    message = str(caught.value)
    assert message.startswith(
        f"TTS_MODEL_NAME={name!r}: there is no folder {Path(name).absolute()}. It must be a folder "
        "or hub id with a speech.json, or one of pocket, canopylabs/orpheus-3b-0.1-ft, "
    )
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

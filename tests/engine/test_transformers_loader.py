"""Where the transformers engine puts a model, and what it does if that fails."""

import logging
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from orpheus_server.engine import transformers_loader
from orpheus_server.engine.transformers_loader import LoadedModel, load_model
from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName
from orpheus_server.runtime.serving_config import POCKET_FOLDER

REAL = AutoModelForCausalLM.from_pretrained


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("orpheus_server"), "propagate", True)
    caplog.set_level(logging.INFO, "orpheus_server")
    return caplog


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The device map of each load; "auto" fails, as with accelerate on a device that is too small.

    accelerate itself is only in the environment without vLLM.
    """
    found: list[str | None] = []

    def load(folder: str, device_map: str | None = None, **values: Any) -> Any:
        found.append(device_map)
        if device_map is not None:
            raise RuntimeError("CUDA out of memory\nTried to allocate 6.00 GiB")
        return REAL(folder, **values)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    return found


def load(device_map: str | None = None, dtype: DtypeName = "float32") -> LoadedModel:
    return load_model(POCKET_FOLDER, dtype, device_map)


def set_accelerate(monkeypatch: pytest.MonkeyPatch, is_installed: bool) -> None:
    monkeypatch.setattr(transformers_loader, "has_accelerate", lambda: is_installed)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_the_dtypes(
    monkeypatch: pytest.MonkeyPatch, dtype: DtypeName, expected: torch.dtype
) -> None:
    set_accelerate(monkeypatch, False)
    loaded = load(dtype=dtype)
    assert (loaded.dtype, loaded.model.dtype) == (expected, expected)
    assert (loaded.device.type, loaded.vocab_size) == ("cpu", 992)


def test_without_accelerate_one_device_is_used(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture, maps: list[str | None]
) -> None:
    set_accelerate(monkeypatch, False)
    load()
    assert maps == [None]
    assert [record.getMessage() for record in logged.records] == [
        "accelerate is not installed, so the model uses one device: cpu",
        "the model is on cpu (6 layers)",
    ]


def test_each_step_down_is_one_line(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture, maps: list[str | None]
) -> None:
    """auto, then one device, then the CPU."""
    set_accelerate(monkeypatch, True)
    monkeypatch.setattr(transformers_loader, "best_device", lambda: "cuda")
    load()
    assert maps == ["auto", None, None]
    first, second, last = (record.getMessage() for record in logged.records)
    assert first == "CUDA out of memory; trying cuda"
    # This torch has no CUDA.
    assert second.endswith("; trying cpu")
    assert "\n" not in second
    assert last == "the model is on cpu (6 layers)"


def test_a_device_that_loads_and_cannot_compute(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    """A GPU without kernels in this torch fails in its first step, not while it loads."""
    set_accelerate(monkeypatch, True)
    tried: list[str] = []

    def compute(model: Any, device: torch.device) -> None:
        tried.append(device.type)
        if len(tried) == 1:
            raise RuntimeError("no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", without_map)
    monkeypatch.setattr(transformers_loader, "_try_out", compute)
    load()
    assert len(tried) == 2
    assert logged.records[0].getMessage() == "no kernel image is available; trying cpu"


def without_map(folder: str, device_map: str | None = None, **values: Any) -> Any:
    return REAL(folder, **values)


def test_another_kind_of_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_other(folder: str, **values: Any) -> Any:
        model = REAL(folder, **values)
        model.config.model_type = "gemma2"
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load_other)
    with pytest.raises(StartError, match="it is a gemma2, but only Llama is supported"):
        load("cpu")


def test_the_cache_holds_what_the_cpus_share_of_memory_allows() -> None:
    """Keys and values of 6 layers and 2 heads of 48 values, of two bytes each."""
    assert load("cpu", "bfloat16").max_cached_tokens == (1 << 30) // (2 * 6 * 2 * 48 * 2)


def test_a_model_that_fits_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("not enough memory\nyou tried to allocate 6 GB")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    for is_installed in (True, False):
        set_accelerate(monkeypatch, is_installed)
        with pytest.raises(StartError) as caught:
            load()
        assert str(caught.value) == (f"transformers cannot load {POCKET_FOLDER}: not enough memory")


def test_a_map_that_does_not_fit(monkeypatch: pytest.MonkeyPatch, maps: list[str | None]) -> None:
    """No other map is tried if one is set."""
    set_accelerate(monkeypatch, True)
    with pytest.raises(StartError) as caught:
        load("balanced")
    assert str(caught.value) == (
        f"transformers cannot load {POCKET_FOLDER} with TTS_DEVICE_MAP=balanced: CUDA out of memory"
    )
    assert maps == ["balanced"]


def test_weights_on_a_disk_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate would read them for every token."""
    set_accelerate(monkeypatch, True)

    def load_spread(folder: str, device_map: str, **values: Any) -> Any:
        model = REAL(folder, **values)
        model.hf_device_map = {"model.layers.0": "cpu", "model.layers.1": "disk"}
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load_spread)
    with pytest.raises(StartError, match="the devices and the memory do not hold the model"):
        load("auto")


@pytest.mark.parametrize(
    ("device_map", "is_installed", "message"),
    [
        ("auto", False, "TTS_DEVICE_MAP=auto needs accelerate, which is not installed"),
        ("cuda", True, "TTS_DEVICE_MAP=cuda, but this machine has 0 devices of the type cuda"),
        ("cuda:3", False, "TTS_DEVICE_MAP=cuda:3, but this machine has 0 devices"),
        ("mps", False, "TTS_DEVICE_MAP=mps, but this machine has 0 devices of the type mps"),
        ("xpu", False, "TTS_DEVICE_MAP=xpu, but this machine has 0 devices of the type xpu"),
        ("gpu", False, r"TTS_DEVICE_MAP=gpu is neither a device \(cpu, cuda, cuda:1, mps\) nor"),
    ],
)
def test_maps_that_this_machine_does_not_have(
    monkeypatch: pytest.MonkeyPatch, device_map: str, is_installed: bool, message: str
) -> None:
    set_accelerate(monkeypatch, is_installed)
    with pytest.raises(StartError, match=f"^{message}"):
        load(device_map)


def test_one_device_needs_no_accelerate(
    monkeypatch: pytest.MonkeyPatch, maps: list[str | None]
) -> None:
    set_accelerate(monkeypatch, False)
    assert load("cpu").device.type == "cpu"
    assert maps == [None]


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_best_device(
    monkeypatch: pytest.MonkeyPatch, has_cuda: bool, has_mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert transformers_loader.best_device() == expected

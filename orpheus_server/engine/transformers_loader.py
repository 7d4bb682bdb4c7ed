"""Loads a Llama with transformers, onto the devices that there are."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from orpheus_server.engine.memory import CPU_KV_CACHE_BYTES
from orpheus_server.engine.row_attention import ATTENTION
from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName

logger = logging.getLogger(__name__)

SPREADING_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Device maps that accelerate computes from the memory of all devices."""

GPU_CACHE_SHARE = 0.8
"""Share of the memory that is free after loading for keys and values; activations need the rest."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that has computed one id on its devices.

    `device` takes its inputs; the key-value cache may hold `max_cached_tokens`.
    """

    model: Any
    device: torch.device
    dtype: torch.dtype
    vocab_size: int
    max_cached_tokens: int


def load_model(folder: Path, dtype: DtypeName, device_map: str | None) -> LoadedModel:
    """Returns the model on the devices of `device_map`, or on the best that work; blocking.

    None tries "auto", then one device, then the CPU, and logs each step down. Raises `StartError`
    in one line.
    """
    if device_map is not None:
        return _load_mapped(folder, dtype, device_map)
    failure: Exception | None = None
    for name, load in _ways(folder, dtype):
        if failure is not None:
            logger.warning("%s; trying %s", _one_line(failure), name)
        try:
            return load()
        # Broken files, a map that does not fit, too little memory, a device without a kernel: the
        # errors of the libraries for these have no other common base.
        except Exception as error:
            # Its traceback would keep the model in memory.
            failure = StartError(_one_line(error))
    raise StartError(f"transformers cannot load {folder}: {_one_line(failure)}")


def _load_mapped(folder: Path, dtype: DtypeName, device_map: str) -> LoadedModel:
    spreads = device_map in SPREADING_MAPS
    if not spreads:
        _check_device(device_map)
    elif not has_accelerate():
        raise StartError(
            f"TTS_DEVICE_MAP={device_map} needs accelerate, which is not installed: install it, or "
            f"set one device, such as {best_device()}."
        )
    try:
        return _load(folder, dtype, device_map, spreads=spreads)
    except Exception as error:
        raise StartError(
            f"transformers cannot load {folder} with TTS_DEVICE_MAP={device_map}: "
            f"{_one_line(error)}"
        ) from None


def _ways(folder: Path, dtype: DtypeName) -> list[tuple[str, Callable[[], LoadedModel]]]:
    """Returns the devices to try in turn, best first, and what loads the model onto them."""
    devices = list(dict.fromkeys([best_device(), "cpu"]))
    ways: list[tuple[str, Callable[[], LoadedModel]]] = [
        (name, partial(_load, folder, dtype, name, spreads=False)) for name in devices
    ]
    if has_accelerate():
        return [("auto", partial(_load, folder, dtype, "auto", spreads=True)), *ways]
    logger.warning("accelerate is not installed, so the model uses one device: %s", devices[0])
    return ways


def has_accelerate() -> bool:
    """Returns whether transformers can spread a model over devices."""
    return find_spec("accelerate") is not None


def best_device() -> str:
    """Returns the device to use if only one is used."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_device(name: str) -> None:
    """Raises `StartError` unless this machine has the device."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise StartError(
            f"TTS_DEVICE_MAP={name} is neither a device (cpu, cuda, cuda:1, mps) nor one of "
            f"{', '.join(SPREADING_MAPS)}."
        ) from None
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= count:
        raise StartError(
            f"TTS_DEVICE_MAP={name}, but this machine has {count} devices of the type "
            f"{device.type}: choose one that it has, or leave it unset."
        )


def _load(folder: Path, dtype: DtypeName, device_map: str, *, spreads: bool) -> LoadedModel:
    transformers_logging.disable_progress_bar()
    torch_dtype: torch.dtype = getattr(torch, dtype)
    # Without accelerate, transformers takes no device map, not even one of a single device.
    placement = {"device_map": device_map} if spreads else {}
    model = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=torch_dtype,
        attn_implementation=ATTENTION,
        local_files_only=True,
        **placement,
    )
    if not spreads:
        model = model.to(device_map)
    model.eval().requires_grad_(False)
    if model.config.model_type != "llama":
        raise StartError(f"it is a {model.config.model_type}, but only Llama is supported")
    device = model.get_input_embeddings().weight.device
    layers = _layers_by_device(model, device)
    if "disk" in getattr(model, "hf_device_map", {}).values():
        raise StartError("the devices and the memory do not hold the model")
    _try_out(model, device)
    logger.info("the model is on %s", ", ".join(f"{each} ({n} layers)" for each, n in layers))
    return LoadedModel(
        model=model,
        device=device,
        dtype=torch_dtype,
        vocab_size=model.config.vocab_size,
        max_cached_tokens=_max_cached_tokens(model.config, torch_dtype, layers),
    )


def _try_out(model: Any, device: torch.device) -> None:
    """Computes one id: a device may load weights and lack the kernels to use them."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[0]], device=device), use_cache=False).logits
        logits.sum().item()


def _layers_by_device(model: Any, device: torch.device) -> list[tuple[torch.device, int]]:
    """Returns the devices and the number of layers computed on each."""
    places = [next(layer.parameters()).device for layer in model.model.layers]
    # Weights that are kept elsewhere until they are needed are computed on the first device.
    counts = Counter(device if place.type == "meta" else place for place in places)
    return list(counts.items())


def _max_cached_tokens(
    config: Any, dtype: torch.dtype, layers: list[tuple[torch.device, int]]
) -> int:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    bytes_per_layer = 2 * config.num_key_value_heads * size * dtype.itemsize
    return min(
        int(_cache_bytes(device) // (bytes_per_layer * num_layers)) for device, num_layers in layers
    )


def _cache_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        return GPU_CACHE_SHARE * torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return GPU_CACHE_SHARE * max(0, free)
    return CPU_KV_CACHE_BYTES


def _one_line(error: Exception | None) -> str:
    """Returns the first line of the error's message, or its type."""
    message = str(error).strip()
    return message.splitlines()[0] if message else type(error).__name__

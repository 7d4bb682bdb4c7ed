"""The weights of language model and codec, as transformers, vLLM and snac read them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from training.files import write_atomically, write_json
from training.language_model.model import ModelConfig

ROTARY_THETA = "rope_theta"


def write_language_model(folder: Path, config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
    """Writes `config.json` and `model.safetensors` in bfloat16.

    The embeddings are the last layer too, so they are stored once.
    """
    values = config.to_hf_config()
    theta = values.pop(ROTARY_THETA)
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "use_cache": True,
            "rope_parameters": {ROTARY_THETA: theta, "rope_type": "default"},
            **values,
        },
    )
    rounded = {name: value.to(torch.bfloat16) for name, value in weights.items()}
    _write_tensors(folder / "model.safetensors", rounded)


def write_codec(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Writes SNAC's `config.json` and `model.safetensors` in float32, without an encoder."""
    write_json(folder / "config.json", dict(config))
    decoding = {
        name: value.float() for name, value in weights.items() if not name.startswith("encoder.")
    }
    _write_tensors(folder / "model.safetensors", decoding)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, metadata={"format": "pt"}))

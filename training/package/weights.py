"""The weights of the language model, as transformers and vLLM read them."""

from pathlib import Path

import torch
from safetensors.torch import save

from training.files import write_atomically, write_json
from training.language_model.model import LanguageModel

ROTARY_THETA = "rope_theta"


def write_language_model(folder: Path, model: LanguageModel) -> None:
    """Writes `config.json` and `model.safetensors` in bfloat16.

    The embeddings are the last layer too, so they are stored once.
    """
    values = model.config.to_hf_config()
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
    rounded = {
        name: value.detach().cpu().to(torch.bfloat16).contiguous()
        for name, value in model.llama_weights().items()
    }
    write_atomically(folder / "model.safetensors", save(rounded, metadata={"format": "pt"}))

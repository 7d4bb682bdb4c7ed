"""The bundled voice as a GGUF file, for llama-server."""

import json
from pathlib import Path
from typing import Any

from orpheus_server.runtime.serving_config import POCKET_FOLDER

_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHER_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def write_gguf(path: Path, *, num_missing_tokens: int = 0) -> None:
    """Writes the file in float32, with the last audio tokens cut off if some shall be missing."""
    import gguf
    import torch
    from safetensors.torch import load_file

    config = json.loads((POCKET_FOLDER / "config.json").read_text())
    num_heads, num_kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    num_tokens = config["vocab_size"] - num_missing_tokens
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(num_heads)
    writer.add_head_count_kv(num_kv_heads)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(num_tokens)
    _add_tokens(writer, gguf.TokenType, num_tokens)
    for name, tensor in load_file(POCKET_FOLDER / "model.safetensors").items():
        tensor = tensor.to(torch.float32)
        if name.endswith("q_proj.weight"):
            tensor = _with_adjacent_pairs(tensor, num_heads)
        elif name.endswith("k_proj.weight"):
            tensor = _with_adjacent_pairs(tensor, num_kv_heads)
        elif name == "model.embed_tokens.weight":
            tensor = tensor[:num_tokens]
        writer.add_tensor(_gguf_name(name), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokens(writer: Any, types: Any, num_tokens: int) -> None:
    tokenizer = json.loads((POCKET_FOLDER / "tokenizer.json").read_text())
    control = {token["content"] for token in tokenizer["added_tokens"]}
    names = {token_id: name for name, token_id in tokenizer["model"]["vocab"].items()}
    tokens = [names.get(token_id, f"<unused_{token_id}>") for token_id in range(num_tokens)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    # As user-defined tokens, all of them are read and written literally.
    writer.add_token_types(
        [types.CONTROL if name in control else types.USER_DEFINED for name in tokens]
    )
    # One is required; it applies to nothing.
    writer.add_token_merges(["a ɪ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)


def _with_adjacent_pairs(weight: Any, num_heads: int) -> Any:
    """Reorders the rows of a projection: llama.cpp rotates adjacent pairs, and not two halves."""
    rows, columns = weight.shape
    halves = weight.reshape(num_heads, 2, rows // num_heads // 2, columns)
    return halves.transpose(1, 2).reshape(rows, columns).contiguous()


def _gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _OTHER_NAMES:
        return f"{_OTHER_NAMES[stem]}.{kind}"
    number, _, part = stem.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{_LAYER_NAMES[part]}.{kind}"

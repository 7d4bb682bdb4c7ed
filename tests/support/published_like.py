"""A random checkpoint with the vocabulary, tokenizer layout and codec of the published ones."""

import json
from pathlib import Path

import torch
from snac import SNAC
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM

from orpheus_server.checkpoints.published import SNAC_24KHZ

VOCAB_SIZE = 156_940
FIRST_CUSTOM_TOKEN = 128_256


def write_model(folder: Path) -> None:
    """Writes a Llama with two narrow layers that loads like the published 3B model."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=131_072,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
        tie_word_embeddings=True,
        bos_token_id=128_000,
        eos_token_id=128_009,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    write_tokenizer(folder)
    # Files next to the published weights that must not be downloaded.
    for name in ("optimizer.bin", "pytorch_model_fsdp.bin", "scheduler.pt", "training_args.bin"):
        (folder / name).write_bytes(b"100 GB of optimizer state")


def write_tokenizer(folder: Path) -> None:
    """Writes byte tokens, Llama's special tokens and `<custom_token_N>`, added but not special."""
    vocab = {char: index for index, char in enumerate(sorted(ByteLevel.alphabet()))}
    special = {128_000: "<|begin_of_text|>", 128_009: "<|eot_id|>", VOCAB_SIZE - 1: "<|audio|>"}
    custom = {
        FIRST_CUSTOM_TOKEN + number: f"<custom_token_{number}>"
        for number in range(VOCAB_SIZE - 1 - FIRST_CUSTOM_TOKEN)
    }
    vocab |= {name: token_id for token_id, name in (special | custom).items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(list(special.values()))
    tokenizer.add_tokens(list(custom.values()))
    tokenizer.save(str(folder / "tokenizer.json"))


def write_codec(folder: Path) -> None:
    """Writes the published SNAC with random weights, under the published file names."""
    torch.manual_seed(1)
    codec = SNAC(**SNAC_24KHZ)
    (folder / "config.json").write_text(json.dumps(SNAC_24KHZ))
    torch.save(codec.state_dict(), folder / "pytorch_model.bin")

"""The model equals transformers' `LlamaForCausalLM`."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.language_model.model import LanguageModel, ModelConfig


def build_model(hidden_size: int = 64, head_dim: int = 32, num_layers: int = 4) -> LanguageModel:
    config = ModelConfig(
        vocab_size=156,
        hidden_size=hidden_size,
        head_dim=head_dim,
        num_layers=num_layers,
        intermediate_size=96,
    )
    model = LanguageModel(config)
    model.initialise(seed=1)
    return model


@pytest.mark.parametrize("hidden_size", [64, 96, 128])
def test_logits_are_those_of_transformers(hidden_size: int) -> None:
    model = build_model(hidden_size)
    theirs = LlamaForCausalLM(LlamaConfig(**model.config.to_hf_config()))
    missing, unexpected = theirs.load_state_dict(model.llama_weights(), strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    theirs.tie_weights()
    ids = torch.randint(0, 156, (2, 50), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        difference = (model(ids) - theirs(ids).logits).abs().max()
        table = model.embeddings()
        guided, weights = model.model(ids, table, is_guided=True)
        plain, _ = model.model(ids, table)
    assert difference <= 1e-3
    # The guided heads are calculated in another way, with the same result.
    torch.testing.assert_close(guided, plain, atol=1e-4, rtol=1e-4)
    assert [each.shape for each in weights] == [(2, 2, 50, 50)] * 3
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 2, 50))


def test_weights_depend_on_the_seed_only() -> None:
    first, second = build_model().state_dict(), build_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_heads_of_the_default_suit_vllm() -> None:
    config = ModelConfig(vocab_size=7296)
    assert (config.num_heads, config.num_kv_heads, config.head_dim % 32) == (4, 2, 0)

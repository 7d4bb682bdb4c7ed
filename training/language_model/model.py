"""A small Llama with the parameter names and arithmetic of transformers' `LlamaForCausalLM`."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.language_model import vocabulary
from training.language_model.embeddings import TokenEmbeddings

MAX_POSITIONS = 2048
GUIDED_LAYERS = (1, 2, 3)
NUM_GUIDED_HEADS = 2
"""These heads of these layers are rewarded for following the text (`guide.py`)."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a model. Head sizes are multiples of 32, as vLLM's attention on a CPU wants."""

    vocab_size: int
    hidden_size: int = 256
    num_layers: int = 6
    head_dim: int = 64
    intermediate_size: int = 704
    code_dim: int = 8
    """Of the codec's code vectors; the checkpoint does not have them."""
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6

    @property
    def num_codes(self) -> int:
        """Codes a book."""
        return (self.vocab_size - vocabulary.AUDIO_TOKEN_BASE) // vocabulary.NUM_SLOTS

    @property
    def num_heads(self) -> int:
        return self.hidden_size // self.head_dim

    @property
    def num_kv_heads(self) -> int:
        return 2 if self.num_heads % 2 == 0 else 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_hf_config(self) -> dict[str, Any]:
        """Returns the arguments of transformers' `LlamaConfig`."""
        return {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.rms_norm_eps,
            "max_position_embeddings": MAX_POSITIONS,
            "bos_token_id": vocabulary.BEGIN,
            "eos_token_id": vocabulary.STOP,
            "pad_token_id": vocabulary.PAD,
            "tie_word_embeddings": True,
        }


class RmsNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        normalised: Tensor = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return normalised * self.weight


class Rotation(nn.Module):
    """Rotary positions: the two halves of a head are the two coordinates that are rotated."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
        angles = torch.outer(torch.arange(MAX_POSITIONS).float(), config.rope_theta**-exponents)
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Rotates [batch, heads, positions, head_dim] by its positions, from 0 on."""
        cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat([-second, first], -1) * sin


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size, head_dim = config.hidden_size, config.head_dim
        self.q_proj = nn.Linear(size, config.num_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(size, config.num_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(size, config.num_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_heads * head_dim, size, bias=False)

    def forward(self, x: Tensor, rotate: Rotation, num_guided: int) -> tuple[Tensor, Tensor | None]:
        """Returns the output, and the weights of the first `num_guided` heads.

        The weights are float32 [batch, heads, positions, positions]; None without guided heads.
        """
        batch, length, _ = x.shape
        shape = (batch, length, -1, self.config.head_dim)
        values: Tensor = self.v_proj(x).view(shape).transpose(1, 2)
        queries = rotate(self.q_proj(x).view(shape).transpose(1, 2)).to(values.dtype)
        keys = rotate(self.k_proj(x).view(shape).transpose(1, 2)).to(values.dtype)
        group = self.config.num_heads // self.config.num_kv_heads
        keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
        outputs = []
        weights = None
        if num_guided:
            scores = queries[:, :num_guided] @ keys[:, :num_guided].transpose(-1, -2)
            future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.float() * self.config.head_dim**-0.5
            weights = scores.masked_fill(future, -math.inf).softmax(-1)
            outputs.append(weights.to(values.dtype) @ values[:, :num_guided])
        if num_guided < self.config.num_heads:
            others = slice(num_guided, None)
            outputs.append(
                F.scaled_dot_product_attention(
                    queries[:, others], keys[:, others], values[:, others], is_causal=True
                )
            )
        joined = torch.cat(outputs, 1).transpose(1, 2).reshape(batch, length, -1)
        return self.o_proj(joined), weights


class Mlp(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return output


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, rotate: Rotation, num_guided: int) -> tuple[Tensor, Tensor | None]:
        output, weights = self.self_attn(self.input_layernorm(x), rotate, num_guided)
        x = x + output
        return x + self.mlp(self.post_attention_layernorm(x)), weights


class Llama(nn.Module):
    """The layers between embeddings and the last hidden states."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.rotate = Rotation(config)

    def forward(
        self, ids: Tensor, table: Tensor, *, is_guided: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Returns hidden states [batch, positions, size] and the guided heads' weights by layer.

        `table` are the embeddings [ids, size].
        """
        x = F.embedding(ids, table)
        all_weights = []
        for index, layer in enumerate(self.layers):
            num_guided = NUM_GUIDED_HEADS if is_guided and index in GUIDED_LAYERS else 0
            x, weights = layer(x, self.rotate, num_guided)
            if weights is not None:
                all_weights.append(weights)
        return self.norm(x), all_weights


class LanguageModel(nn.Module):
    """`LlamaForCausalLM` with tied embeddings: the table of embeddings is also the last layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = TokenEmbeddings(config.num_codes, config.code_dim, config.hidden_size)
        self.model = Llama(config)

    def forward(self, ids: Tensor) -> Tensor:
        """Returns logits [batch, positions, vocabulary]."""
        table = self.embeddings()
        hidden, _ = self.model(ids, table)
        logits: Tensor = hidden @ table.T
        return logits

    @torch.no_grad()
    def llama_weights(self) -> dict[str, Tensor]:
        """Returns the weights by the names of `LlamaForCausalLM`."""
        weights = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return {"model.embed_tokens.weight": self.embeddings(), **weights}

    def initialise(self, seed: int) -> None:
        """Draws the weights from a seed: what adds to the residual stream starts smaller."""
        generator = torch.Generator().manual_seed(seed)
        self.embeddings.initialise(generator)
        residual_scale = 1 / math.sqrt(2 * self.config.num_layers)
        for name, parameter in self.model.named_parameters():
            if parameter.ndim < 2:
                continue
            std = 0.5 / math.sqrt(parameter.shape[1])
            if "o_proj" in name or "down_proj" in name:
                std *= residual_scale
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

"""Quantization through SNAC's own modules, with the losses that train it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from snac.vq import ResidualVectorQuantize
from torch import nn
from torch.nn import functional as F

from training.codec.config import BOOK_STRIDES, CodecConfig
from training.distributed import World

COMMITMENT_WEIGHT = 0.25
"""Of the encoder's distance to the codes, relative to the codes' distance to the encoder."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """Quantized latents [batch, channels, latents], and what each book did.

    `codes` are int64 [batch, latents // stride]; `projected` are the vectors that were quantized
    [batch, codebook dim, latents // stride]; `loss` is a scalar.
    """

    latents: torch.Tensor
    loss: torch.Tensor
    codes: list[torch.Tensor]
    projected: list[torch.Tensor]


def build_quantizer(config: CodecConfig) -> ResidualVectorQuantize:
    return ResidualVectorQuantize(
        input_dim=config.latent_dim,
        codebook_size=config.codebook_size,
        codebook_dim=config.codebook_dim,
        vq_strides=list(BOOK_STRIDES),
    )


def quantize(quantizer: ResidualVectorQuantize, latents: torch.Tensor) -> Quantized:
    """Quantizes latents whose number is a multiple of 4, as SNAC's own forward does.

    Gradients pass straight through to the encoder; codes learn from the loss alone.
    """
    total = torch.zeros_like(latents)
    loss = latents.new_zeros(())
    codes, projected = [], []
    for book in quantizer.quantizers:
        remaining = latents - total
        if book.stride > 1:
            remaining = F.avg_pool1d(remaining, book.stride, book.stride)
        vectors = book.in_proj(remaining)
        nearest, indices = book.decode_latents(vectors)
        loss = loss + F.mse_loss(vectors.detach(), nearest)
        loss = loss + COMMITMENT_WEIGHT * F.mse_loss(vectors, nearest.detach())
        output = book.out_proj(vectors + (nearest - vectors).detach())
        total = total + output.repeat_interleave(book.stride, dim=-1)
        codes.append(indices)
        projected.append(vectors.detach())
    return Quantized(total, loss, codes, projected)


@dataclass(slots=True)
class CodeUsage:
    """How often each code was used lately; moves unused ones onto vectors of the batch.

    The first process decides for all of them.
    """

    counts: list[torch.Tensor]
    """For each book [codes]: uses, each worth less with every step after it."""

    decay = 0.99
    unused_below = 0.3
    restart_count = 2.0

    def add(self, quantized: Quantized) -> None:
        """Counts the codes of a step."""
        for counts, codes in zip(self.counts, quantized.codes, strict=True):
            uses = torch.bincount(codes.flatten(), minlength=len(counts))
            counts.mul_(self.decay).add_(uses.cpu())

    def num_used(self) -> list[int]:
        """Returns the number of codes of each book that are in use."""
        return [int((counts >= self.unused_below).sum()) for counts in self.counts]

    @torch.no_grad()
    def restart_unused(
        self,
        quantizer: ResidualVectorQuantize,
        quantized: Quantized,
        random: np.random.Generator,
        world: World,
    ) -> None:
        """Puts each unused code on a random vector of this step's batch."""
        for book, counts, vectors in zip(
            quantizer.quantizers, self.counts, quantized.projected, strict=True
        ):
            unused = (counts < self.unused_below).nonzero().flatten()
            candidates = vectors.transpose(1, 2).flatten(0, 1).cpu()
            chosen = torch.from_numpy(random.integers(len(candidates), size=len(unused)))
            # Apart from each other, so that two codes on one vector do not stay equal.
            noise = random.standard_normal((len(unused), candidates.shape[1])) * 0.01
            weight: nn.Parameter = book.codebook.weight
            moved = candidates[chosen] + torch.from_numpy(noise).to(candidates)
            weight[unused.to(weight.device)] = moved.to(weight.device)
            counts[unused] = self.restart_count
            world.broadcast(weight.data)

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts = [counts.clone() for counts in state["counts"]]


def new_usage(config: CodecConfig) -> CodeUsage:
    """Returns counts that are all zero: every code is unused."""
    return CodeUsage([torch.zeros(config.codebook_size) for _ in BOOK_STRIDES])

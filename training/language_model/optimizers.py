"""The optimizers: Muon for matrices, AdamW for embeddings, norms and biases."""

from collections.abc import Sequence

import torch
from torch.optim import AdamW, Muon, Optimizer

from training.language_model.model import LanguageModel


def build_optimizers(model: LanguageModel, learning_rate: float) -> list[Optimizer]:
    """Returns Muon and AdamW; Muon's steps are as large as AdamW's at the same learning rate."""
    matrices, embeddings, vectors = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            vectors.append(parameter)
        elif name in ("embeddings.prompt", "embeddings.slots"):
            embeddings.append(parameter)
        else:
            matrices.append(parameter)
    return [
        Muon(
            matrices,
            lr=learning_rate,
            weight_decay=0.05,
            momentum=0.95,
            adjust_lr_fn="match_rms_adamw",
        ),
        AdamW(
            [
                {"params": embeddings, "weight_decay": 0.01},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=learning_rate,
            betas=(0.9, 0.97),
        ),
    ]


def step_all(optimizers: Sequence[Optimizer], learning_rate: float) -> None:
    """Makes one step of each optimizer and clears the gradients."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad()


def clip_gradients(model: LanguageModel, max_norm: float = 1.0) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)

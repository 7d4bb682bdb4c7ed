"""The losses of a batch, and the arithmetic that a device is fast at."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.language_model.batches import IGNORED
from training.language_model.guide import guide_loss
from training.language_model.model import LanguageModel


def choose_device() -> torch.device:
    """Returns the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """True if products of bfloat16 matrices are faster than those of float32."""
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()


def text_and_guide_loss(
    model: LanguageModel, ids: Tensor, labels: Tensor, guide: Tensor, *, is_bfloat16: bool
) -> tuple[Tensor, Tensor]:
    """Returns the cross-entropy in nats per audio token, and the loss of the attention guide."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=is_bfloat16):
        hidden, weights = model.model(ids, is_guided=True)
        logits = hidden @ model.model.embed_tokens.weight.T
    cross_entropy = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED
    )
    return cross_entropy, guide_loss(weights, guide)


@torch.no_grad()
def summed_cross_entropy(
    model: LanguageModel, ids: Tensor, labels: Tensor, *, is_bfloat16: bool
) -> float:
    """Returns the cross-entropy in nats, summed over the audio tokens."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=is_bfloat16):
        logits = model(ids)
    loss = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return float(loss)

"""The losses of a batch, and the arithmetic that a device is fast at."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.language_model.batches import IGNORED, Batch
from training.language_model.guide import guide_loss
from training.language_model.model import LanguageModel
from training.language_model.vocabulary import AUDIO_TOKEN_BASE, NUM_SLOTS, STOP

UNMASKED_STRIDE = 8
"""Of positions that are compared with all ids: no multiple of 7, so that all slots come."""

UNMASKED_WEIGHT = 0.1
"""Of that comparison's loss."""


def choose_device() -> torch.device:
    """Returns the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """True if products of bfloat16 matrices are faster than those of float32."""
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()


def calculate_losses(
    model: LanguageModel,
    ids: Tensor,
    labels: Tensor,
    guide: Tensor,
    slot_positions: Tensor,
    slot_labels: Tensor,
    *,
    is_bfloat16: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns three scalars in nats: cross-entropy by slot, among all ids, and the guide's loss.

    The server samples among the codes of one slot. Only these are compared, a seventh of the
    vocabulary: comparing all would take two thirds more time. At some positions all are compared,
    so that the codes of other slots stay improbable without a mask.
    """
    table = model.embeddings()
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=is_bfloat16):
        hidden, weights = model.model(ids, table, is_guided=True)
        logits = slot_logits(table, hidden, slot_positions)
        some = hidden[:, ::UNMASKED_STRIDE] @ table.T
    unmasked = F.cross_entropy(
        some.float().flatten(0, 1),
        labels[:, ::UNMASKED_STRIDE].flatten(),
        ignore_index=IGNORED,
    )
    return _cross_entropy(logits, slot_labels, "mean"), unmasked, guide_loss(weights, guide)


def slot_logits(table: Tensor, hidden: Tensor, slot_positions: Tensor) -> Tensor:
    """Returns the logits of each slot's codes and of the stop [batch, 7, frames, codes + 1].

    `table` are the embeddings [ids, size]. The stop has -inf in all slots but the first.
    """
    index = slot_positions.flatten(1)[..., None].expand(-1, -1, hidden.shape[-1])
    of_slots = hidden.gather(1, index).view(*slot_positions.shape, -1)
    codes = table[AUDIO_TOKEN_BASE:].view(NUM_SLOTS, -1, table.shape[1])
    code_logits = torch.einsum("bsfh,skh->bsfk", of_slots, codes)
    is_first = torch.arange(NUM_SLOTS, device=hidden.device)[:, None] == 0
    stop = (of_slots @ table[STOP]).masked_fill(~is_first, -torch.inf)
    return torch.cat([code_logits, stop[..., None].to(code_logits.dtype)], -1)


@torch.no_grad()
def summed_cross_entropy(model: LanguageModel, batch: Batch, *, is_bfloat16: bool) -> float:
    """Returns the cross-entropy in nats, summed over the audio tokens."""
    table = model.embeddings()
    with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=is_bfloat16):
        hidden, _ = model.model(batch.ids, table)
        logits = slot_logits(table, hidden, batch.slot_positions)
    return float(_cross_entropy(logits, batch.slot_labels, "sum"))


def _cross_entropy(logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
    return F.cross_entropy(
        logits.float().flatten(0, 2), labels.flatten(), ignore_index=IGNORED, reduction=reduction
    )

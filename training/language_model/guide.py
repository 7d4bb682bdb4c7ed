"""The attention guide: two heads are rewarded for looking at the phoneme that is being spoken.

Without it a model of this size never finds out how text and speech belong together.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FIRST_WEIGHT = 0.4
LAST_WEIGHT = 0.08
NUM_STEPS = 6_000
"""Steps in which the weight falls from the first to the last value."""

MAX_GUIDED_POSITIONS = 256
"""Prompt positions that can be guided: more than the phonemes of twelve seconds."""

TOLERANCE_FRAMES = 0.35
WIDTH_FRAMES = 0.5
"""Looking that far beside a phoneme is as good as at it; then the reward falls like a bell."""

SLOT_CENTRES = (0.5, 0.25, 0.125, 0.375, 0.75, 0.625, 0.875)
"""The middle of the sound of each slot's code, in frames."""

_MIN_REWARD = 0.5
"""A row whose best symbol earns less is in silence, beside all symbols."""

_MIN_MASS = 1e-3
"""Limits the loss of a row, so that a few lost ones do not outweigh the rest."""


def guide_weight(step: int) -> float:
    """Returns the weight of the guide's loss."""
    progress = min(1.0, step / NUM_STEPS)
    return FIRST_WEIGHT + (LAST_WEIGHT - FIRST_WEIGHT) * progress


def guide_rows(symbol_frames: npt.NDArray[np.float32], num_frames: int) -> npt.NDArray[np.float32]:
    """Returns the reward, 0 to 1, of looking at each symbol before each token is predicted.

    `symbol_frames` is [symbols, 2]; the result [7 * frames + 1, symbols]. Its last row, that of the
    stop, rewards the symbols at the end.
    """
    starts = np.arange(num_frames)[:, None] + np.array(SLOT_CENTRES)
    times = np.append(starts.reshape(-1), num_frames)[:, None]
    before = symbol_frames[None, :, 0] - times
    after = times - symbol_frames[None, :, 1]
    distance = np.maximum(np.maximum(before, after) - TOLERANCE_FRAMES, 0.0)
    rewards: npt.NDArray[np.float32] = np.exp(-0.5 * (distance / WIDTH_FRAMES) ** 2).astype("f4")
    return rewards


def guide_loss(all_weights: Sequence[Tensor], guide: Tensor) -> Tensor:
    """Returns the mean of -log of the attention's mass on the symbols that are being spoken.

    `all_weights` has one tensor [batch, heads, positions, positions] for each guided layer, `guide`
    is [batch, positions, prompt positions]. Rows in which no symbol is spoken do not count.
    """
    is_guided = (guide.amax(-1) > _MIN_REWARD).float()
    losses = []
    for weights in all_weights:
        mass = (weights[..., : guide.shape[-1]] * guide[:, None]).sum(-1)
        per_row = -torch.log(mass + _MIN_MASS) * is_guided[:, None]
        losses.append(per_row.sum() / (is_guided.sum() * weights.shape[1] + 1e-6))
    return torch.stack(losses).mean()

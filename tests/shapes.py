"""Shapes of the published models."""

from typing import Any

# hubertsiuzdak/snac_24khz, config.json: the shape that Orpheus speaks with.
SNAC_24KHZ: dict[str, Any] = {
    "sampling_rate": 24000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}

# The same with few channels: structure without the time.
SNAC_NARROW = SNAC_24KHZ | {"encoder_dim": 4, "decoder_dim": 64}

FRAME_LEVELS = (0, 1, 2, 2, 1, 2, 2)
"""The level of each slot of its frame."""

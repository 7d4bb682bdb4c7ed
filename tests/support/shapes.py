"""Shapes of the published models."""

from orpheus_server.checkpoints.published import SNAC_24KHZ

# The same structure with few channels, for speed.
SNAC_NARROW = SNAC_24KHZ | {"encoder_dim": 4, "decoder_dim": 64}

FRAME_LEVELS = (0, 1, 2, 2, 1, 2, 2)
"""The codec level of each slot of a frame."""

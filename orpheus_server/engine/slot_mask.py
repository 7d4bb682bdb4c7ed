"""Which ids each slot of a frame allows, for the masks of both vLLM model runners.

Without a mask the model sometimes samples a token of the wrong slot, most often at a high
temperature or with a quantised checkpoint.
"""

from typing import Any, cast

import torch

from orpheus_server.checkpoints.checkpoint import TokenLayout

CONFIG_KEY = "orpheus_slots"
"""Key of the layout in vLLM's `additional_config`, which is passed to the engine's process."""


def layout_to_config(layout: TokenLayout) -> dict[str, Any]:
    """Returns the layout as plain JSON values for `additional_config`."""
    return {
        CONFIG_KEY: {
            "audio_token_base": layout.audio_token_base,
            "codebook_size": layout.codebook_size,
            "slot_levels": list(layout.slot_levels),
            "stop_token_ids": list(layout.stop_token_ids),
        }
    }


def layout_from_config(additional_config: object) -> TokenLayout:
    """Reads the layout that `layout_to_config` wrote. Raises `KeyError` if it is missing."""
    values = cast(dict[str, Any], additional_config)[CONFIG_KEY]
    return TokenLayout(
        audio_token_base=values["audio_token_base"],
        codebook_size=values["codebook_size"],
        slot_levels=tuple(values["slot_levels"]),
        stop_token_ids=tuple(values["stop_token_ids"]),
    )


def build_blocked_table(layout: TokenLayout, vocab_size: int, device: torch.device) -> torch.Tensor:
    """Returns bool [num_slots + 1, vocab_size], True where an id must not be sampled.

    Row `slot` allows that slot's codes. The last row is for slot 0 after the first frame. It also
    allows the stop ids, so a generation ends at a frame boundary and has at least one frame.
    """
    num_slots, size = layout.num_slots, layout.codebook_size
    blocked = torch.ones(num_slots + 1, vocab_size, dtype=torch.bool)
    for slot in range(num_slots):
        start = layout.audio_token_base + slot * size
        blocked[slot, start : start + size] = False
    blocked[num_slots] = blocked[0]
    blocked[num_slots, list(layout.stop_token_ids)] = False
    return blocked.to(device)

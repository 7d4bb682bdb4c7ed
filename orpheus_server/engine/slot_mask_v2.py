"""The slot mask for vLLM's second model runner (`vllm.v1.worker.gpu.sample.logits_processor`).

It runs on the device and needs only each row's position, so a step copies nothing to the host.
"""

from typing import TYPE_CHECKING

import torch
from vllm.v1.worker.gpu.sample.logits_processor import (
    LogitsContext,
    LogitsProcessor,
    LogitsProcRequestState,
)

from orpheus_server.engine.slot_mask import build_blocked_table, layout_from_config

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class SlotMaskV2(LogitsProcessor):
    """A row's slot is (position of the sampled token - prompt length) modulo `num_slots`."""

    def __init__(self, vllm_config: "VllmConfig", req_states: LogitsProcRequestState) -> None:
        layout = layout_from_config(vllm_config.additional_config)
        self._num_slots = layout.num_slots
        self._prompt_len = req_states.prompt_len
        self._blocked = build_blocked_table(layout, req_states.vocab_size, req_states.device)

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Blocks every id of another slot in place; float32 [num_logits_rows, vocab_size]."""
        prompt_len = self._prompt_len.gpu[ctx.expanded_idx_mapping]
        num_output = ctx.pos + 1 - prompt_len
        slot = num_output % self._num_slots
        row = torch.where((slot == 0) & (num_output > 0), self._num_slots, slot)
        return logits.masked_fill_(self._blocked[row.long()], float("-inf"))

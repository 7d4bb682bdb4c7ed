"""The slot mask for vLLM's first model runner (`vllm.v1.sample.logits_processor`).

Loaded by name in the engine's process, so this module must be importable there.
"""

from typing import TYPE_CHECKING

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from orpheus_server.engine.slot_mask import build_blocked_table, layout_from_config

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class SlotMaskV1(LogitsProcessor):
    """Keeps a reference to each row's growing list of output ids, whose length gives the slot."""

    def __init__(
        self, vllm_config: "VllmConfig", device: torch.device, is_pin_memory: bool
    ) -> None:
        layout = layout_from_config(vllm_config.additional_config)
        self._num_slots = layout.num_slots
        vocab_size = vllm_config.model_config.get_vocab_size()
        self._blocked = build_blocked_table(layout, vocab_size, device)
        self._device = device
        self._outputs: dict[int, list[int]] = {}

    def is_argmax_invariant(self) -> bool:
        """False: greedy sampling needs the mask as well."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Applies the removed, added and moved rows, in the order that vLLM requires."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self._outputs.pop(index, None)
        for index, _, _, output_token_ids in batch_update.added:
            self._outputs[index] = output_token_ids
        for source, target, direction in batch_update.moved:
            moved = self._outputs.pop(source, None)
            replaced = self._outputs.pop(target, None)
            if moved is not None:
                self._outputs[target] = moved
            if direction == MoveDirectionality.SWAP and replaced is not None:
                self._outputs[source] = replaced

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Blocks every id of another slot in place; float [num_rows, vocab_size]."""
        rows = [self._row(index) for index in range(logits.shape[0])]
        index = torch.tensor(rows, device=self._device)
        return logits.masked_fill_(self._blocked[index], float("-inf"))

    def _row(self, index: int) -> int:
        num_output = len(self._outputs[index])
        slot = num_output % self._num_slots
        return self._num_slots if slot == 0 and num_output > 0 else slot

"""A key-value cache with one row per generation, and the attention over it, for transformers.

The rows of a batch have different lengths. Keys and values of position p of a row are at index p,
and a mask hides what follows the row's last position.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION = "rows"
"""The name of the attention for `attn_implementation`."""

POSITIONS_PER_BUCKET = 64
"""Attention covers the longest row, rounded up: devices that compile a kernel per shape (MPS) then
compile one per bucket."""

_SMALLEST_CAPACITY = 256


def bucket_of(num_positions: int) -> int:
    """Returns the number of positions that attention covers for the longest row."""
    return -(-num_positions // POSITIONS_PER_BUCKET) * POSITIONS_PER_BUCKET


class RowCache:
    """Keys and values of up to `max_tokens` positions of all rows, in rectangles.

    A layer's tensors have the shape [rows, heads, positions, size of a head] and are created on the
    layer's device. The model calls `update` after `begin_prompt` or `begin_step`.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._shape = (0, 0)
        self._row = 0
        self._rows: torch.Tensor | None = None
        self._positions = torch.empty(0)
        self._span = 0

    def fits(self, num_rows: int, num_positions: int) -> bool:
        """Returns whether so many rows of so many positions are within `max_tokens`."""
        return num_rows * num_positions <= self.max_tokens

    def reserve(self, num_rows: int, num_positions: int, lengths: Sequence[int]) -> None:
        """Makes room for the rows, and keeps the first positions of the present ones.

        `lengths` are the numbers of positions in use. Raises torch's error if memory runs out; the
        present rows are then unchanged.
        """
        rows, positions = 1 << (num_rows - 1).bit_length(), _SMALLEST_CAPACITY
        while positions < num_positions:
            positions *= 2
        positions = bucket_of(min(positions, self.max_tokens))
        if not self.fits(rows, positions):
            rows, positions = num_rows, bucket_of(num_positions)
        if self._shape[0] >= num_rows and self._shape[1] >= num_positions:
            return
        self._shape = (rows, positions)
        try:
            # One layer at a time, so that only one of them is in memory twice.
            for index, (keys, values) in self._layers.items():
                self._layers[index] = self._copied(keys, lengths), self._copied(values, lengths)
        except BaseException:
            shapes = [keys.shape for keys, _ in self._layers.values()]
            self._shape = min(each[0] for each in shapes), min(each[2] for each in shapes)
            raise

    def _copied(self, source: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        copy = self._new(source)
        for row, length in enumerate(lengths):
            copy[row, :, :length] = source[row, :, :length]
        return copy

    def _new(self, like: torch.Tensor) -> torch.Tensor:
        # Zeros, because attention multiplies even masked values, and 0 times NaN is NaN.
        rows, positions = self._shape
        return like.new_zeros(rows, like.shape[1], positions, like.shape[3])

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the first positions of a row over another row."""
        for keys, values in self._layers.values():
            keys[target, :, :length] = keys[source, :, :length]
            values[target, :, :length] = values[source, :, :length]

    def clear(self, row: int) -> None:
        """Removes values that are not numbers, which the next generation of the row would read."""
        for keys, values in self._layers.values():
            keys[row].zero_()
            values[row].zero_()

    def begin_prompt(self, row: int) -> None:
        """The next forward pass computes a whole prompt, for one row."""
        self._row, self._rows = row, None

    def begin_step(self, positions: torch.Tensor, span: int) -> None:
        """The next forward pass computes one position of each row.

        `positions` is int64 [rows]; attention covers `span` positions.
        """
        self._rows = torch.arange(positions.shape[0], device=positions.device)
        self._positions, self._span = positions, span

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_index: int, *_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores new keys and values; returns those to attend to."""
        if layer_index not in self._layers:
            self._layers[layer_index] = (self._new(keys), self._new(values))
        all_keys, all_values = self._layers[layer_index]
        if self._rows is None:
            length = keys.shape[2]
            all_keys[self._row, :, :length] = keys[0]
            all_values[self._row, :, :length] = values[0]
            return keys, values
        if self._rows.device != keys.device:
            self._rows, self._positions = (
                self._rows.to(keys.device),
                self._positions.to(keys.device),
            )
        all_keys[self._rows, :, self._positions] = keys[:, :, 0]
        all_values[self._rows, :, self._positions] = values[:, :, 0]
        num_rows, span = keys.shape[0], self._span
        return all_keys[:num_rows, :, :span], all_values[:num_rows, :, :span]


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attends causally over a prompt, or from one position of each row over its masked row.

    `query` is [rows, heads, positions, size]; the result is [rows, positions, heads, size]. Query
    heads that share a key are computed as positions of that key's head, so keys are not copied.
    """
    rows, heads, positions, size = query.shape
    shared = heads // key.shape[1]
    if positions == 1 and attention_mask is not None:
        grouped = query.reshape(rows, key.shape[1], shared, size)
        output = scaled_dot_product_attention(
            grouped, key, value, attn_mask=attention_mask, scale=scaling
        )
        return output.reshape(rows, 1, heads, size), None
    key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
    output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    return output.transpose(1, 2).contiguous(), None


def row_mask(lengths: torch.Tensor, span: int, dtype: torch.dtype) -> torch.Tensor:
    """Returns what to add to the scores, [rows, 1, 1, span]: minus infinity from the length on."""
    is_hidden = torch.arange(span, device=lengths.device) >= lengths.unsqueeze(1)
    mask = torch.zeros(is_hidden.shape, dtype=dtype, device=lengths.device)
    return mask.masked_fill_(is_hidden, float("-inf"))[:, None, None]


AttentionInterface.register(ATTENTION, attend)

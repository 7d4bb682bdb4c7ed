"""SNAC's decoder as a stateless function of a window of codes, exact at every window's edge.

Decoding a piece on its own pads with zeros where its neighbours should be, so some 200 ms on both
sides are wrong. Here each layer gets the neighbouring positions that its output depends on, and
returns no more than the next layer needs, so joined windows are the samples of the whole utterance.
Shapes depend only on the number of windows and their hop.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch
from snac import SNAC
from snac.layers import Decoder, DecoderBlock, NoiseBlock, ResidualUnit, Snake1d
from torch import nn
from torch.nn.utils import parametrize

from orpheus_server.audio.snac.layers import (
    BatchPosition,
    Conv,
    LastConv,
    Layer,
    Noise,
    Residual,
    Snake,
    Transposed,
)
from orpheus_server.audio.snac.spans import Span


@dataclass(frozen=True, slots=True)
class WindowShape:
    """The frames that a window reads, and the samples it produces, counted from its first frame.

    `spans` are those of the latents, then of each layer's output.
    """

    num_frames: int
    samples: Span
    spans: tuple[Span, ...] = field(repr=False)


class CroppedDecoder(nn.Module):
    """Decodes windows of codes into samples. Raises `ValueError` for a SNAC with attention."""

    def __init__(self, codec: SNAC, slot_levels: Sequence[int]) -> None:
        super().__init__()
        if codec.attn_window_size is not None:
            raise ValueError("its attention needs the whole utterance")
        self.samples_per_latent = int(codec.hop_length)
        self.latents_per_frame = int(max(codec.vq_strides))
        self.samples_per_frame = self.samples_per_latent * self.latents_per_frame
        self.num_slots = len(slot_levels)
        for level in range(len(codec.vq_strides)):
            slots = [slot for slot, owner in enumerate(slot_levels) if owner == level]
            # A buffer on the device: a list as an index would be copied there in each call, which
            # cannot be captured in a graph.
            self.register_buffer(f"slots_{level}", torch.tensor(slots))
        self._level_strides = [int(stride) for stride in codec.vq_strides]
        fold_weight_norm(codec.quantizer)
        fold_weight_norm(codec.decoder)
        for level, quantizer in enumerate(codec.quantizer.quantizers):
            # Codebook and projection in one table, so that a quantizer is a single lookup.
            table = quantizer.out_proj(quantizer.codebook.weight.detach().T[None])[0].T
            self.register_buffer(f"table_{level}", table.detach().contiguous())
        self._layers = nn.ModuleList(_build_layers(codec))

    def needed_latents(self, samples: Span) -> Span:
        """Returns the latents that these samples depend on."""
        return self._spans(samples)[0]

    @cached_property
    def right_reach(self) -> int:
        """The number of samples before the end of the known latents that depend on unknown ones."""

        def is_exact(num_samples_back: int) -> bool:
            last = Span(-num_samples_back - 1, -num_samples_back)
            return self.needed_latents(last).end <= 0

        # This many samples back is enough: it is as far as the last sample looks ahead.
        enough = self.needed_latents(Span(-1, 0)).end * self.samples_per_latent
        return bisect_left(range(enough + 1), True, key=is_exact)

    def shape_for(self, hop: int) -> WindowShape:
        """Returns the shape of the window whose samples are its last `hop` exact frames."""
        num_samples = hop * self.samples_per_frame
        first = self.needed_latents(Span(-self.right_reach - num_samples, -self.right_reach)).start
        num_frames = -(first // self.latents_per_frame)
        end = num_frames * self.samples_per_frame - self.right_reach
        samples = Span(end - num_samples, end)
        return WindowShape(num_frames, samples, tuple(self._spans(samples)))

    @torch.inference_mode()
    def forward(
        self,
        codes: torch.Tensor,
        first_frames: torch.Tensor,
        end_frames: torch.Tensor,
        seeds: torch.Tensor,
        shape: WindowShape,
        *,
        is_edge: bool,
    ) -> torch.Tensor:
        """Returns samples [batch, shape.samples.length].

        `codes` are [batch, shape.num_frames, slots] int64, with any value where there is no frame.
        Each window begins at frame `first_frames` [batch], which is negative before the start, of
        an utterance with `end_frames` [batch] frames. `is_edge` must be true if any window extends
        over either end of its utterance.
        """
        position = BatchPosition(
            first_frames * self.latents_per_frame,
            end_frames * self.latents_per_frame,
            seeds,
            is_edge=is_edge,
        )
        spans = shape.spans
        values = self._latents(codes)[:, spans[0].start : spans[0].end]
        values = position.mask(values, spans[0], 1)
        for layer, span in zip(self._layers, spans[1:], strict=True):
            values = layer(values, span, position)
        return values

    def _latents(self, codes: torch.Tensor) -> torch.Tensor:
        """Maps [batch, frames, slots] to a new [batch, frames * latents per frame, channels]."""
        total: torch.Tensor | None = None
        for level, stride in enumerate(self._level_strides):
            table, slots = self.get_buffer(f"table_{level}"), self.get_buffer(f"slots_{level}")
            found = table[codes[:, :, slots]].repeat_interleave(stride, dim=2)
            total = found if total is None else total.add_(found)
        assert total is not None
        return total.flatten(1, 2)

    def _spans(self, samples: Span) -> list[Span]:
        """Returns the span of the latents, then of each layer's output."""
        spans = [samples]
        for layer in reversed(list(self._layers)):
            assert isinstance(layer, Layer)
            spans.append(layer.needs(spans[-1]))
        return spans[::-1]

    def count_macs(self, shape: WindowShape) -> int:
        """Returns the number of multiply-accumulates for one window."""
        return sum(
            layer.count_macs(before, after)
            for layer, (before, after) in zip(self._layers, pairwise(shape.spans), strict=True)
            if isinstance(layer, Layer)
        )


def _build_layers(codec: SNAC) -> Iterator[Layer]:
    rate, num_noise = 1, 0
    for module in _flatten(codec.decoder):
        match module:
            case Snake1d():
                yield Snake(module, rate)
            case nn.ConvTranspose1d():
                layer = Transposed(module, rate)
                rate = layer.rate
                yield layer
            case nn.Conv1d() if module.out_channels == 1:
                yield LastConv(module, rate)
            case nn.Conv1d():
                yield Conv(module, rate)
            case ResidualUnit():
                yield Residual(module, rate)
            case NoiseBlock():
                yield Noise(module, rate, num_noise)
                num_noise += 1
            case nn.Tanh():
                pass  # `LastConv` applies it
            case _:
                raise ValueError(f"not a layer of SNAC's decoder: {module}")


def _flatten(decoder: Decoder) -> Iterator[nn.Module]:
    """Yields the decoder's layers in order, including each layer inside its blocks."""
    for module in decoder.model:
        if isinstance(module, DecoderBlock):
            yield from module.block
        else:
            yield module


def fold_weight_norm(module: nn.Module) -> None:
    """Replaces weight-normed weights by their values, which snac would recompute in each call."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")

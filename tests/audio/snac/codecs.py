"""Codecs with random weights, decodes by the `snac` package, and joined windows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from snac import SNAC
from snac.layers import DecoderBlock, NoiseBlock, Snake1d
from torch import nn

from orpheus_server.audio.snac.backends import to_arrays
from orpheus_server.audio.snac.cropped import CroppedDecoder
from orpheus_server.audio.snac.noise import position_noise
from orpheus_server.audio.snac.windows import HOPS, Window, WindowCutter
from orpheus_server.interfaces import Frame
from orpheus_server.synthesis.frames import to_levels
from tests.support.shapes import FRAME_LEVELS

Floats = npt.NDArray[np.floating[Any]]


def random_codec(config: dict[str, Any], seed: int = 0) -> SNAC:
    """Returns a SNAC with random alphas and biases, as a trained one has.

    With the initial ones and near zeros, an edge that is not masked would hardly be wrong.
    """
    torch.manual_seed(seed)
    codec = SNAC(**config).eval()
    for module in codec.decoder.modules():
        if isinstance(module, Snake1d):
            size = module.alpha.shape
            signs = torch.where(torch.rand(size) < 0.2, -1.0, 1.0)
            module.alpha.data = signs * torch.rand(size).mul_(6).sub_(4).exp_()
        elif isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.2)
    return codec


def random_frames(
    num_frames: int,
    codebook_size: int = 4096,
    *,
    lowest: int = 0,
    seed: int | None = None,
    num_slots: int = len(FRAME_LEVELS),
) -> list[Frame]:
    """Returns frames of random codes, the same for the same seed."""
    generator = np.random.default_rng(num_frames if seed is None else seed)
    codes = generator.integers(lowest, codebook_size, size=(num_frames, num_slots))
    return [tuple(int(code) for code in row) for row in codes]


def decode_with_snac(
    codec: SNAC, frames: Sequence[Frame], slot_levels: Sequence[int] = FRAME_LEVELS
) -> Floats:
    """Decodes the whole utterance with the package's own modules."""
    levels = [torch.tensor([codes]) for codes in to_levels(frames, slot_levels)]
    with torch.inference_mode():
        result: Floats = codec.decode(levels)[0, 0].numpy()
    return result


class KeyedNoise(nn.Module):
    """The package's noise block with `position_noise` instead of `randn`."""

    def __init__(self, source: NoiseBlock, index: int, seed: int) -> None:
        super().__init__()
        self.linear, self.index, self.seed = source.linear, index, seed

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        noise = position_noise(
            seeds=torch.tensor(self.seed),
            layer=self.index,
            positions=torch.arange(values.shape[-1]),
            dtype=values.dtype,
        )
        result: torch.Tensor = values + noise * self.linear(values)
        return result


def key_noise(codec: SNAC, seed: int) -> SNAC:
    """Replaces the codec's noise by that of `seed`, in place; returns the codec."""
    blocks = [module for module in codec.decoder.model if isinstance(module, DecoderBlock)]
    for index, block in enumerate(blocks):
        for position, module in enumerate(block.block):
            if isinstance(module, NoiseBlock):
                block.block[position] = KeyedNoise(module, index, seed)
    return codec


def build_cutter(model: CroppedDecoder, *, first_frames: int = 1 << 30) -> WindowCutter:
    """Returns a cutter for an utterance of that model; exact without `first_frames`."""
    return WindowCutter(
        {hop: model.shape_for(hop) for hop in HOPS},
        samples_per_frame=model.samples_per_frame,
        first_frames=first_frames,
    )


def cut(cutter: WindowCutter, frames: Sequence[Frame]) -> list[Window]:
    """Returns all windows of an utterance that is fed in one piece."""
    return cutter.feed(frames) + cutter.flush()


def decode_rows(
    model: CroppedDecoder, windows: Sequence[Window], seeds: Sequence[int] | None = None
) -> torch.Tensor:
    """Decodes the windows in one call; returns whole rows in the dtype of the model."""
    codes, position_arrays = to_arrays(windows, seeds or [0] * len(windows))
    shape = model.shape_for(windows[0].hop)
    is_edge = any(window.is_edge for window in windows)
    rows: torch.Tensor = model(
        torch.from_numpy(codes), *map(torch.from_numpy, position_arrays), shape, is_edge=is_edge
    )
    return rows


def join(windows: Sequence[Window], rows: Sequence[torch.Tensor]) -> Floats:
    """Joins what the windows need of their rows; checks that each starts where the last ended."""
    end, parts = 0, []
    for window, row in zip(windows, rows, strict=True):
        assert window.start == end
        parts.append(row[window.skip : window.stop].numpy())
        end += parts[-1].size
    joined: Floats = np.concatenate(parts)
    return joined

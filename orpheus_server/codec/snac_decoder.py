"""SNAC codes to samples with the `snac` package's own modules.

Weight norm is folded once (the package recomputes it in every call) and noise is keyed to position
(`noise.py`). An utterance is decoded in windows that overlap by what the decoder can see, which
gives the samples of a decode in one piece in bounded memory; every frame is heard.
"""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from snac import SNAC
from snac.layers import Decoder, DecoderBlock, NoiseBlock
from torch import nn
from torch.nn.utils import parametrize

from orpheus_server.audio import Samples
from orpheus_server.checkpoint import TokenLayout
from orpheus_server.codec.noise import position_noise
from orpheus_server.errors import GenerationFailed, StartError
from orpheus_server.frames import Frame, to_levels
from orpheus_server.workers import WorkerPool

logger = logging.getLogger(__name__)


WINDOW_FRAMES = 32
"""2.7 s, 0.4 GB at the published width; smaller windows decode more context beside them."""

CONTEXT_FRAMES = 3
"""The decoder sees 10 latents to each side, 2.5 frames (gradients of the published shape)."""


class SnacDecoder:
    """Utterances of codes to float32 samples; calls run in the worker pool."""

    def __init__(
        self, codec: SNAC, layout: TokenLayout, device: torch.device, pool: WorkerPool
    ) -> None:
        _check_layout(codec, layout)
        self._slot_levels = layout.slot_levels
        self._quantizer = codec.quantizer.to(device)
        self._layers = list(_flatten(fold_weight_norm(codec.decoder).to(device)))
        fold_weight_norm(self._quantizer)
        self._device = device
        self._pool = pool
        self._sample_rate = int(codec.sampling_rate)
        self._latents_per_frame = int(max(codec.vq_strides))
        self._samples_per_frame = int(codec.hop_length) * self._latents_per_frame
        # Attention looks at its whole block, so such a codec is decoded in one piece.
        self._window_frames = WINDOW_FRAMES if codec.attn_window_size is None else sys.maxsize
        if device.type == "cuda":
            # The same codes and seed give the same samples: no algorithm that adds in any order.
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.allow_tf32 = False

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self._sample_rate

    @property
    def samples_per_frame(self) -> int:
        """Samples that one frame becomes."""
        return self._samples_per_frame

    async def decode(self, frames: Sequence[Frame], *, noise_seed: int) -> Samples:
        """All samples of an utterance, in a worker thread."""
        return await self._pool.run(self.decode_now, frames, noise_seed=noise_seed)

    def decode_now(self, frames: Sequence[Frame], *, noise_seed: int) -> Samples:
        """The same in the calling thread. Raises `GenerationFailed`, also when memory is short."""
        parts = [
            self._decode_window(frames, start, noise_seed)
            for start in range(0, len(frames), self._window_frames)
        ]
        return np.concatenate(parts)

    async def close(self) -> None:
        """Nothing of its own to end: the pool belongs to the runtime."""

    @torch.inference_mode()
    def _decode_window(self, frames: Sequence[Frame], start: int, noise_seed: int) -> Samples:
        """Samples of the frames of one window, decoded with their neighbours on both sides."""
        end = min(start + self._window_frames, len(frames))
        first = max(0, start - CONTEXT_FRAMES)
        levels = to_levels(frames[first : end + CONTEXT_FRAMES], self._slot_levels)
        try:
            codes = [torch.tensor([level], device=self._device) for level in levels]
            latents = self._quantizer.from_codes(codes)
            samples = self._synthesize(latents, noise_seed, first * self._latents_per_frame)
            result: Samples = samples[0, 0].float().cpu().numpy()
        except (RuntimeError, IndexError) as error:
            raise GenerationFailed(f"the codec failed: {error}") from error
        size = self._samples_per_frame
        return result[(start - first) * size : (end - first) * size]

    def _synthesize(
        self, latents: torch.Tensor, noise_seed: int, first_latent: int
    ) -> torch.Tensor:
        values, num_noise = latents, 0
        for layer in self._layers:
            if isinstance(layer, NoiseBlock):
                num_steps = values.shape[-1]
                noise = position_noise(
                    seed=noise_seed,
                    layer=num_noise,
                    start=first_latent * num_steps // latents.shape[-1],
                    length=num_steps,
                    device=values.device,
                    dtype=values.dtype,
                )
                values = values + noise * layer.linear(values)
                num_noise += 1
            else:
                values = layer(values)
        return values


def _flatten(decoder: Decoder) -> Iterator[nn.Module]:
    """The decoder's layers in order, those of its blocks one by one: the noise is among them."""
    for module in decoder.model:
        if isinstance(module, DecoderBlock):
            yield from module.block
        else:
            yield module


_Module = TypeVar("_Module", bound=nn.Module)


def fold_weight_norm(module: _Module) -> _Module:
    """Replaces every weight-normed weight by its value; changes and returns `module`."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
    return module.eval()


def load_codec(folder: Path) -> SNAC:
    """The SNAC of a folder with `config.json` and weights, without its waveform encoder.

    Raises `StartError` naming what is missing or does not fit.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        codec = SNAC(**config)
    except (OSError, ValueError, TypeError) as error:
        raise StartError(f"{folder / 'config.json'} is no SNAC configuration: {error}") from error
    # Speaking needs no encoder; the bundled codec comes without.
    codec.encoder = None
    weights = {
        name: value
        for name, value in _load_weights(folder).items()
        if not name.startswith("encoder.")
    }
    try:
        codec.load_state_dict(weights)
    except RuntimeError as error:
        raise StartError(
            f"the weights in {folder} do not fit their config.json: {error}"
        ) from error
    return codec.eval()


def _load_weights(folder: Path) -> dict[str, torch.Tensor]:
    safetensors, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    try:
        if safetensors.is_file():
            return load_file(safetensors)
        state: dict[str, torch.Tensor] = torch.load(pickled, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StartError(
            f"{folder} has neither {safetensors.name} nor {pickled.name}: no codec weights."
        ) from None
    except Exception as error:  # both loaders raise library-specific types for a damaged file
        raise StartError(f"the codec weights in {folder} cannot be read: {error}") from error
    return _unify_weight_norm(state)


def _unify_weight_norm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Old names of weight norm (`weight_g`, `weight_v`) to those of torch's parametrization."""
    renames = {
        ".weight_g": ".parametrizations.weight.original0",
        ".weight_v": ".parametrizations.weight.original1",
    }
    unified = {}
    for name, value in state.items():
        for old, new in renames.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        unified[name] = value
    return unified


def _check_layout(codec: SNAC, layout: TokenLayout) -> None:
    strides = codec.vq_strides
    wanted = [strides[0] // stride for stride in strides]
    found = [layout.slot_levels.count(level) for level in range(len(strides))]
    if codec.codebook_size != layout.codebook_size or wanted != found:
        raise StartError(
            f"the codec has {codec.codebook_size} codes and {wanted} codes a frame and level, "
            f"the checkpoint writes {layout.codebook_size} and {found}."
        )


def use_one_thread() -> None:
    """For each worker thread: parallel decodes share the cores, so none takes them all."""
    torch.set_num_threads(1)

"""The frozen encoder and quantizer: one file in half precision, whose hash is their identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from snac.vq import ResidualVectorQuantize
from torch import nn

from training.codec.config import SAMPLES_PER_FRAME, CodecConfig
from training.codec.encoder import MelEncoder, MelHead
from training.codec.frames import to_frames
from training.codec.mels import MelFrontEnd
from training.codec.quantizer import build_quantizer, quantize
from training.errors import TrainingError
from training.files import hash_file
from training.shards import read_shard, write_shard

MEL_HEAD = "mel_head.safetensors"
"""The file of the mel head, beside the encoder's."""


@dataclass(frozen=True, slots=True)
class FrozenEncoder:
    """Makes the codes that tokens and decoder are trained on. Its weights are never changed."""

    config: CodecConfig
    identity: str
    """The hash of the file."""
    encoder: MelEncoder
    quantizer: ResidualVectorQuantize
    mels: MelFrontEnd

    @torch.no_grad()
    def encode(self, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.uint16]:
        """Returns the frames [frames, 7] of one utterance; its last frame is filled with silence.

        The encoder must be loaded in float64: then rounding, which differs between processors and
        numbers of threads, does not decide between two codes.
        """
        num_frames = -(-len(samples) // SAMPLES_PER_FRAME)
        padded = np.zeros(num_frames * SAMPLES_PER_FRAME)
        padded[: len(samples)] = samples.astype(np.float64) / 32768
        quantized = quantize(
            self.quantizer, self.encoder(self.mels(torch.from_numpy(padded)[None]))
        )
        books = [codes[0].numpy() for codes in quantized.codes]
        return to_frames(books).astype(np.uint16)

    @torch.no_grad()
    def latents(self, samples: torch.Tensor) -> torch.Tensor:
        """Returns the quantized latents of [batch, samples], whole frames."""
        return quantize(self.quantizer, self.encoder(self.mels(samples))).latents


def write_frozen(
    path: Path,
    config: CodecConfig,
    encoder: nn.Module,
    quantizer: nn.Module,
    info: Mapping[str, Any],
) -> None:
    """Writes the weights, rounded to half precision, with their configuration."""
    weights = _rounded("encoder", encoder) | _rounded("quantizer", quantizer)
    write_shard(path, weights, {**info, "config": config.to_json()})


def load_frozen(path: Path, dtype: torch.dtype = torch.float64) -> FrozenEncoder:
    """Loads the frozen encoder. Raises `TrainingError` if nothing is frozen yet."""
    weights, config = _read(path)
    encoder, quantizer = MelEncoder(config), build_quantizer(config)
    for name, module in (("encoder", encoder), ("quantizer", quantizer)):
        _load(name, module, weights, dtype)
    return FrozenEncoder(config, hash_file(path), encoder, quantizer, MelFrontEnd())


def write_mel_head(
    path: Path, config: CodecConfig, mel_head: nn.Module, info: Mapping[str, Any]
) -> None:
    """Writes the head that reads mels from the codes, to judge them without a decoder."""
    write_shard(path, _rounded("mel_head", mel_head), {**info, "config": config.to_json()})


def load_mel_head(path: Path, dtype: torch.dtype = torch.float64) -> MelHead:
    """Loads the mel head. Raises `TrainingError` if nothing is frozen yet."""
    weights, config = _read(path)
    mel_head = MelHead(config)
    _load("mel_head", mel_head, weights, dtype)
    return mel_head


def _rounded(part: str, module: nn.Module) -> dict[str, npt.NDArray[np.float16]]:
    return {
        f"{part}.{name}": value.detach().cpu().to(torch.float16).numpy()
        for name, value in module.state_dict().items()
    }


def _read(path: Path) -> tuple[dict[str, npt.NDArray[Any]], CodecConfig]:
    if not path.is_file():
        raise TrainingError(f"{path} is missing: run the stage codes first")
    weights, info = read_shard(path)
    return weights, CodecConfig(**info["config"])


def _load(
    part: str, module: nn.Module, weights: Mapping[str, npt.NDArray[Any]], dtype: torch.dtype
) -> None:
    prefix = f"{part}."
    module.load_state_dict(
        {
            name.removeprefix(prefix): torch.from_numpy(value)
            for name, value in weights.items()
            if name.startswith(prefix)
        }
    )
    module.to(dtype).eval().requires_grad_(False)

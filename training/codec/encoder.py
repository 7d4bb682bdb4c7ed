"""The mel encoder, and the mel head that judges its codes without a waveform."""

from collections.abc import Sequence

import torch
from torch import nn

from training.codec.config import CodecConfig
from training.codec.mels import NUM_BANDS

MEL_HEAD_DILATIONS = (1, 2, 1)


class ResidualBlock(nn.Module):
    """Two convolutions over [batch, channels, latents], added to their input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GELU(),
            nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation),
            nn.GELU(),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.layers(values)
        return values + added


def build_encoder(config: CodecConfig) -> nn.Sequential:
    """Returns the encoder: log mels [batch, NUM_BANDS, latents] to latents of the quantizer."""
    return _convolutions(
        NUM_BANDS, config.encoder_width, config.latent_dim, config.encoder_dilations, last_kernel=3
    )


def build_mel_head(config: CodecConfig) -> nn.Sequential:
    """Returns the head: quantized latents to log mels. It is not needed to speak."""
    return _convolutions(
        config.latent_dim, config.mel_head_width, NUM_BANDS, MEL_HEAD_DILATIONS, last_kernel=1
    )


def encoder_reach(config: CodecConfig) -> int:
    """Returns how many latents to either side a latent depends on."""
    return 2 + sum(2 * dilation for dilation in config.encoder_dilations) + 1


def _convolutions(
    num_inputs: int, width: int, num_outputs: int, dilations: Sequence[int], *, last_kernel: int
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(num_inputs, width, 5, padding=2),
        *(ResidualBlock(width, dilation) for dilation in dilations),
        nn.GELU(),
        nn.Conv1d(width, num_outputs, last_kernel, padding=last_kernel // 2),
    )

"""Mel spectrograms at the latents' rate, in two resolutions: the encoder's input."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.codec.config import SAMPLE_RATE, SAMPLES_PER_LATENT

LOG_FLOOR = 1e-3
"""Added before the logarithm; magnitudes of speech reach some 100, of silence 0.001."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A short-time Fourier transform and the bands that its magnitudes are summed into."""

    window_samples: int
    num_bands: int
    max_hz: float


RESOLUTIONS = (
    # Long windows resolve the harmonics of a voice, short ones when a sound begins.
    Resolution(window_samples=2_048, num_bands=48, max_hz=4_000.0),
    Resolution(window_samples=1_024, num_bands=80, max_hz=11_000.0),
)
NUM_BANDS = sum(resolution.num_bands for resolution in RESOLUTIONS)


class MelFrontEnd(nn.Module):
    """Samples [batch, samples] to log mels [batch, NUM_BANDS, latents]; no trained weights.

    The number of samples must be a multiple of 512, and one latent is made of each 512. Computes in
    the samples' dtype.
    """

    def __init__(self) -> None:
        super().__init__()
        for index, resolution in enumerate(RESOLUTIONS):
            bank = mel_bank(resolution.window_samples, resolution.num_bands, resolution.max_hz)
            window = torch.hann_window(resolution.window_samples, dtype=torch.float64)
            self.register_buffer(f"bank_{index}", bank, persistent=False)
            self.register_buffer(f"window_{index}", window, persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._mels(samples, i) for i in range(len(RESOLUTIONS))], dim=1)

    def _mels(self, samples: torch.Tensor, index: int) -> torch.Tensor:
        size = RESOLUTIONS[index].window_samples
        # Windows are centred on the latent's 512 samples.
        margin = (size - SAMPLES_PER_LATENT) // 2
        spectrum = torch.stft(
            F.pad(samples, (margin, margin)),
            size,
            SAMPLES_PER_LATENT,
            window=self.get_buffer(f"window_{index}").to(samples.dtype),
            center=False,
            return_complex=True,
        ).abs()
        bank = self.get_buffer(f"bank_{index}").to(samples.dtype)
        return torch.log(bank @ spectrum + LOG_FLOOR)


def mel_bank(window_samples: int, num_bands: int, max_hz: float = SAMPLE_RATE / 2) -> torch.Tensor:
    """Returns triangular filters [bands, frequencies], evenly spaced in mels, in float64."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, window_samples // 2 + 1)
    edges = _to_hz(np.linspace(0, _to_mel(max_hz), num_bands + 2))[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)))


def _to_mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def _to_hz(mels: np.ndarray) -> np.ndarray:
    return np.asarray(700 * (10 ** (mels / 2595) - 1))

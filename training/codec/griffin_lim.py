"""Samples from mels by Griffin-Lim: hears the codes without a waveform decoder."""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from training.codec.config import SAMPLES_PER_LATENT
from training.codec.mels import LOG_FLOOR, RESOLUTIONS, mel_bank

NUM_ITERATIONS = 60
MOMENTUM = 0.9
"""Of the fast Griffin-Lim algorithm (Perraudin et al., 2013); 0 is the plain one."""
PEAK = 0.5


def mels_to_samples(mels: torch.Tensor, *, seed: int = 0) -> npt.NDArray[np.int16]:
    """Returns samples for log mels [NUM_BANDS, latents]; the loudest one is half of full scale."""
    resolution = RESOLUTIONS[-1]
    bank = mel_bank(resolution.window_samples, resolution.num_bands, resolution.max_hz)
    magnitudes = _magnitudes(mels[-resolution.num_bands :].float(), bank.float())
    samples = _find_phases(magnitudes, resolution.window_samples, seed).numpy()
    samples = samples * (PEAK / max(1e-3, float(np.abs(samples).max())))
    return np.asarray(np.round(samples * 32767), np.int16)


def _magnitudes(log_mels: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    """Returns magnitudes [frequencies, latents] whose sums in the bands are those of the mels."""
    bands = (log_mels.exp() - LOG_FLOOR).clamp(min=1e-6)
    magnitudes: torch.Tensor = (torch.linalg.pinv(bank) @ bands).clamp(min=1e-5)
    totals = bank.sum(dim=0)[:, None] + 1e-6
    for _ in range(20):
        ratios = bank.T @ (bands / (bank @ magnitudes + 1e-6))
        magnitudes = magnitudes * (ratios / totals).clamp(0.2, 5.0)
    return magnitudes


def _find_phases(magnitudes: torch.Tensor, window_samples: int, seed: int) -> torch.Tensor:
    window = torch.hann_window(window_samples)
    num_latents = magnitudes.shape[1]
    num_samples = num_latents * SAMPLES_PER_LATENT
    generator = torch.Generator().manual_seed(seed)

    def to_samples(spectrum: torch.Tensor, length: int) -> torch.Tensor:
        # A last transform beyond the end, as `stft` makes of this many samples.
        padded = F.pad(spectrum, (0, 1))
        return torch.istft(padded, window_samples, SAMPLES_PER_LATENT, window=window, length=length)

    spectrum = torch.polar(magnitudes, torch.rand(magnitudes.shape, generator=generator) * math.tau)
    previous: torch.Tensor | None = None
    for _ in range(NUM_ITERATIONS):
        found = torch.stft(
            to_samples(spectrum, num_samples),
            window_samples,
            SAMPLES_PER_LATENT,
            window=window,
            return_complex=True,
        )[:, :num_latents]
        ahead = found if previous is None else found + MOMENTUM * (found - previous)
        previous = found
        spectrum = magnitudes * ahead / ahead.abs().clamp(min=1e-8)
    return to_samples(spectrum, num_samples)

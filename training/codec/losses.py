"""Distances between the spectra of spoken and decoded samples."""

from dataclasses import dataclass

import torch
from torch import nn

from training.codec.mels import mel_bank

MEL_FLOOR = 1e-4
POWER_FLOOR = 1e-7
CONVERGENCE_WEIGHT = 0.5
"""Of the error of magnitudes, which loud parts decide, beside that of log mels."""


@dataclass(frozen=True, slots=True)
class SpectralResolution:
    """A short-time Fourier transform, and the mel bands that are compared."""

    window_samples: int
    hop_samples: int
    num_bands: int


RESOLUTIONS = (
    SpectralResolution(256, 64, 20),
    SpectralResolution(512, 128, 40),
    SpectralResolution(1_024, 256, 80),
    SpectralResolution(2_048, 512, 120),
)


class SpectralLoss(nn.Module):
    """Mean over four resolutions of log-mel and magnitude errors; [batch, samples] to a scalar."""

    def __init__(self) -> None:
        super().__init__()
        for index, resolution in enumerate(RESOLUTIONS):
            bank = mel_bank(resolution.window_samples, resolution.num_bands).float()
            self.register_buffer(f"bank_{index}", bank, persistent=False)
            window = torch.hann_window(resolution.window_samples)
            self.register_buffer(f"window_{index}", window, persistent=False)

    def forward(self, decoded: torch.Tensor, spoken: torch.Tensor) -> torch.Tensor:
        total = decoded.new_zeros(())
        for index in range(len(RESOLUTIONS)):
            found, wanted = self._magnitudes(decoded, index), self._magnitudes(spoken, index)
            bank = self.get_buffer(f"bank_{index}")
            log_error = torch.log(bank @ found + MEL_FLOOR) - torch.log(bank @ wanted + MEL_FLOOR)
            error = torch.linalg.norm(found - wanted) / (torch.linalg.norm(wanted) + 1e-6)
            total = total + log_error.abs().mean() + CONVERGENCE_WEIGHT * error
        return total / len(RESOLUTIONS)

    def _magnitudes(self, samples: torch.Tensor, index: int) -> torch.Tensor:
        resolution = RESOLUTIONS[index]
        spectrum = torch.stft(
            samples,
            resolution.window_samples,
            resolution.hop_samples,
            window=self.get_buffer(f"window_{index}"),
            return_complex=True,
        )
        # The gradient of a magnitude is infinite at zero.
        return (spectrum.real.square() + spectrum.imag.square() + POWER_FLOOR).sqrt()

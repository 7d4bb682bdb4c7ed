"""Light discriminators of complex spectrograms, which take the buzz out of decoded speech."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

RESOLUTIONS = ((1_024, 256), (512, 128), (2_048, 512))
"""Samples of a window and between windows."""

COMPRESSION = 0.3
"""Magnitudes are raised to this power, so that quiet parts count."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one discriminator says: scores of patches, high for speech, and its layers' features."""

    scores: torch.Tensor
    features: list[torch.Tensor]


class SpectrogramDiscriminator(nn.Module):
    """Judges [batch, samples] by convolutions over frequency and time, strided along frequency."""

    def __init__(self, window_samples: int, hop_samples: int, width: int) -> None:
        super().__init__()
        self._window_samples = window_samples
        self._hop_samples = hop_samples
        self.register_buffer("window", torch.hann_window(window_samples), persistent=False)
        # Inputs, outputs, kernel and stride, each over frequency and time.
        shapes = (
            (2, width, (7, 3), (2, 1)),
            (width, 2 * width, (5, 3), (2, 1)),
            (2 * width, 4 * width, (5, 3), (2, 2)),
            (4 * width, 4 * width, (5, 3), (2, 1)),
        )
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2))
            )
            for inputs, outputs, kernel, stride in shapes
        )
        self.last = weight_norm(nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, samples: torch.Tensor) -> Verdict:
        spectrum = torch.stft(
            samples,
            self._window_samples,
            self._hop_samples,
            window=self.get_buffer("window"),
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square() + 1e-6
        gain = power ** ((COMPRESSION - 1) / 2)
        values = torch.stack([spectrum.real * gain, spectrum.imag * gain], dim=1)
        features = []
        for layer in self.layers:
            values = F.leaky_relu(layer(values), 0.1)
            features.append(values)
        return Verdict(self.last(values), features)


class Discriminators(nn.Module):
    """One discriminator for each resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            SpectrogramDiscriminator(window, hop, width) for window, hop in RESOLUTIONS
        )

    def forward(self, samples: torch.Tensor) -> list[Verdict]:
        return [part(samples) for part in self.parts]


def discriminator_loss(spoken: Sequence[Verdict], decoded: Sequence[Verdict]) -> torch.Tensor:
    """Returns the hinge loss: scores of speech above 1, of decoded speech below -1."""
    losses = [
        F.relu(1 - real.scores).mean() + F.relu(1 + fake.scores).mean()
        for real, fake in zip(spoken, decoded, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial_loss(decoded: Sequence[Verdict]) -> torch.Tensor:
    """Returns the decoder's loss: low if the scores are high."""
    return -torch.stack([verdict.scores.mean() for verdict in decoded]).mean()


def feature_loss(spoken: Sequence[Verdict], decoded: Sequence[Verdict]) -> torch.Tensor:
    """Returns how far the features of decoded speech are from those of speech, relative to them."""
    losses = [
        (found - wanted.detach()).abs().mean() / (wanted.detach().abs().mean() + 1e-4)
        for real, fake in zip(spoken, decoded, strict=True)
        for wanted, found in zip(real.features, fake.features, strict=True)
    ]
    return torch.stack(losses).mean()

"""Judges codes before there is a waveform decoder: mels through them, by Griffin-Lim."""

from pathlib import Path

import torch

from training.codec.frozen import MEL_HEAD, load_frozen, load_mel_head
from training.codec.griffin_lim import mels_to_samples
from training.codec.mels import MelFrontEnd
from training.codec.renderings import Rendered, Rendering, to_mel_distance


def codes_renderings(encoder: Path) -> list[Rendering]:
    """Returns renderings of the mels themselves and of the mels through the codes.

    The mel head lies beside the encoder.
    """
    frozen = load_frozen(encoder)
    mel_head = load_mel_head(encoder.with_name(MEL_HEAD))

    def through_codes(samples: torch.Tensor) -> Rendered:
        wanted = frozen.mels(samples)
        found = mel_head(frozen.latents(samples))
        return Rendered(mels_to_samples(found[0]), to_mel_distance(found, wanted))

    return [mels_rendering(), Rendering("codes", frozen.identity, through_codes)]


def mels_rendering() -> Rendering:
    """Returns the rendering of the mels themselves: the best that codes can reach."""
    mels = MelFrontEnd()
    return Rendering("mels", "", lambda samples: Rendered(mels_to_samples(mels(samples)[0]), 0.0))

"""Sizes of the codec."""

from dataclasses import asdict, dataclass
from typing import Any

SAMPLE_RATE = 24_000
SAMPLES_PER_FRAME = 2_048
LATENTS_PER_FRAME = 4
SAMPLES_PER_LATENT = SAMPLES_PER_FRAME // LATENTS_PER_FRAME

BOOK_STRIDES = (4, 2, 1)
"""Latents for each code of SNAC's three books, coarse to fine."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Sizes of encoder, quantizer and decoder. The encoder is not needed to speak."""

    codebook_size: int = 2_048
    """More codes pay: through mels after 800 steps, the ear got 0.103 of the words wrong with 1,024
    and 0.049 with 4,096, whose table would be most of a small language model."""
    codebook_dim: int = 8
    latent_dim: int = 256
    decoder_dim: int = 448
    """71.5 million multiplications a frame: the largest, beside 2,048 codes and the language model,
    with which a second of sound takes at most 1.2 times the bundled voice's time."""
    encoder_width: int = 256
    encoder_blocks: int = 3
    """Each sees three more latents to either side."""
    mel_head_width: int = 256
    mel_head_blocks: int = 3

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_snac(self) -> dict[str, Any]:
        """Returns the arguments of `snac.SNAC`, which are also the codec's `config.json`."""
        return {
            "sampling_rate": SAMPLE_RATE,
            # SNAC's own waveform encoder is not used: the smallest one.
            "encoder_dim": 8,
            "latent_dim": self.latent_dim,
            "encoder_rates": [2, 4, 8, 8],
            "decoder_dim": self.decoder_dim,
            "decoder_rates": [8, 8, 4, 2],
            "attn_window_size": None,
            "codebook_size": self.codebook_size,
            "codebook_dim": self.codebook_dim,
            "vq_strides": list(BOOK_STRIDES),
            "noise": False,
            "depthwise": True,
        }

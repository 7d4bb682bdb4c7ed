"""The vectors of the codes in a frozen encoder's file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.codec.code_vectors import read_code_vectors
from training.codec.config import CodecConfig
from training.codec.encoder import MelEncoder
from training.codec.frozen import write_frozen
from training.codec.quantizer import build_quantizer
from training.errors import TrainingError

CONFIG = CodecConfig(codebook_size=16, latent_dim=16, encoder_width=16, encoder_blocks=1)


def test_a_vector_points_where_its_code_is_nearest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder, quantizer = MelEncoder(CONFIG), build_quantizer(CONFIG)
    for book in quantizer.quantizers:
        # Lengths mean nothing to SNAC, which compares directions.
        book.codebook.weight.data *= torch.rand(16, 1) + 0.1
    path = tmp_path / "encoder.safetensors"
    write_frozen(path, CONFIG, encoder, quantizer, {})
    vectors = read_code_vectors(path)
    assert vectors.shape == (3, 16, 8)
    np.testing.assert_allclose((vectors**2).mean(-1), 1, rtol=1e-5)
    for book, expected in zip(quantizer.quantizers, vectors, strict=True):
        _, codes = book.decode_latents(torch.from_numpy(expected.T[None]))
        assert codes.tolist() == [list(range(16))]


def test_without_an_encoder_the_stage_before_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage codes first"):
        read_code_vectors(tmp_path / "encoder.safetensors")

from pathlib import Path

import pytest
import torch

from tests.training.codec.speech import TINY
from training.codec.config import SAMPLES_PER_FRAME
from training.codec.encoder import MelEncoder, MelHead
from training.codec.frozen import MEL_HEAD, write_frozen, write_mel_head
from training.codec.quantizer import build_quantizer
from training.codes.judging import codes_renderings
from training.errors import TrainingError
from training.files import hash_file

SAMPLES = torch.linspace(0, 300, 2 * SAMPLES_PER_FRAME, dtype=torch.float64).sin()[None] * 0.3


def test_mels_are_heard_as_they_are_and_through_the_codes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "encoder.safetensors"
    write_frozen(path, TINY, MelEncoder(TINY), build_quantizer(TINY), {})
    write_mel_head(tmp_path / MEL_HEAD, TINY, MelHead(TINY), {})
    mels, codes = codes_renderings(path)
    assert (mels.name, mels.identity) == ("mels", "")
    assert (codes.name, codes.identity) == ("codes", hash_file(path))
    plain, through_codes = mels.render(SAMPLES), codes.render(SAMPLES)
    assert plain.samples.shape == through_codes.samples.shape == (2 * SAMPLES_PER_FRAME,)
    assert plain.mel_distance == 0.0
    assert through_codes.mel_distance > 0.1


def test_codes_must_be_trained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage codes first"):
        codes_renderings(tmp_path / "encoder.safetensors")

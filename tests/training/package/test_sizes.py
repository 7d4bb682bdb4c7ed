"""The candidates of the choice of sizes."""

from pathlib import Path

import pytest
from torch import nn

from orpheus_server.checkpoints.speech_json import load_speech_json
from training.errors import TrainingError
from training.package.sizes import Size, decoder_macs_per_frame, parse_size, write_random_voice


def test_a_size_is_written_as_it_is_read() -> None:
    size = parse_size("320x8-2048-448")
    assert size == Size(hidden_size=320, num_layers=8, codebook_size=2048, decoder_dim=448)
    assert str(size) == "320x8-2048-448"


@pytest.mark.parametrize("text", ["320x8-2048", "320-2048-448", "axb-c-d"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="256x6-1024-384"):
        parse_size(text)


def test_the_multiplications_of_a_decoder() -> None:
    wn = nn.utils.parametrizations.weight_norm
    decoder = nn.Sequential(
        wn(nn.Conv1d(3, 4, 1)), wn(nn.ConvTranspose1d(4, 2, 4, stride=2, padding=1))
    )
    # For each of four latents: 3 x 4, and then 4 x 2 x 4 for two samples.
    assert decoder_macs_per_frame(decoder, 3) == 4 * (12 + 32)


def test_a_random_voice_is_a_checkpoint(tmp_path: Path) -> None:
    row = write_random_voice(tmp_path / "voice", Size(64, 1, 16, 16))
    assert load_speech_json(tmp_path / "voice").layout.codebook_size == 16
    assert row["codec_mmac_per_frame"] > 0

import numpy as np
import pytest
import torch

from training.codec.config import SAMPLE_RATE
from training.codec.mels import NUM_BANDS, RESOLUTIONS, MelFrontEnd, mel_bank


@pytest.mark.parametrize("num_frames", [1, 3])
def test_each_frame_of_2048_samples_has_four_latents(num_frames: int) -> None:
    mels = MelFrontEnd()(torch.zeros(2, num_frames * 2_048))
    assert mels.shape == (2, NUM_BANDS, 4 * num_frames)


def test_a_click_is_seen_by_the_latent_of_its_samples() -> None:
    samples = torch.zeros(1, 8 * 512, dtype=torch.float64)
    samples[0, 4 * 512 + 256] = 1.0
    fine = MelFrontEnd()(samples)[0, RESOLUTIONS[0].num_bands :]
    assert fine.dtype == torch.float64
    assert int(fine.mean(dim=0).argmax()) == 4


def test_a_tone_is_loudest_in_the_band_around_its_frequency() -> None:
    hz = 1_000.0
    tone = torch.from_numpy(np.sin(2 * np.pi * hz * np.arange(16_384) / SAMPLE_RATE))[None]
    coarse = RESOLUTIONS[0]
    band = int(MelFrontEnd()(tone)[0, : coarse.num_bands, 16].argmax())
    bank = mel_bank(coarse.window_samples, coarse.num_bands, coarse.max_hz)
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, bank.shape[1])
    assert float(frequencies[int(bank[band].argmax())]) == pytest.approx(hz, abs=60)


def test_every_band_holds_a_frequency() -> None:
    for resolution in RESOLUTIONS:
        bank = mel_bank(resolution.window_samples, resolution.num_bands, resolution.max_hz)
        assert bool((bank.sum(dim=1) > 0).all())

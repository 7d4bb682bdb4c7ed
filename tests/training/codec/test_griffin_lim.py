import numpy as np
import torch

from training.codec.config import SAMPLE_RATE
from training.codec.griffin_lim import PEAK, mels_to_samples
from training.codec.mels import MelFrontEnd


def test_samples_have_the_mels_that_they_were_made_from() -> None:
    times = np.arange(16 * 512) / SAMPLE_RATE
    tones = np.sin(2 * np.pi * 440 * times) + 0.5 * np.sin(2 * np.pi * 2_500 * times)
    tones *= PEAK / np.abs(tones).max()
    front_end = MelFrontEnd()
    mels = front_end(torch.from_numpy(tones)[None])[0]
    samples = mels_to_samples(mels)
    assert samples.shape == (16 * 512,)
    assert np.abs(samples).max() == round(PEAK * 32_767)
    again = front_end(torch.from_numpy(samples / 32_768)[None])[0]
    loud = mels[48:].mean(dim=1).topk(5).indices + 48
    assert float((again - mels)[loud, 2:-2].abs().mean()) < 0.3
    assert mels_to_samples(mels).tolist() == samples.tolist()

import torch

from tests.training.codec.speech import TINY
from training.codec.encoder import MelEncoder, MelHead, encoder_reach
from training.codec.mels import NUM_BANDS


def test_encoder_and_head_keep_the_number_of_latents() -> None:
    latents = MelEncoder(TINY)(torch.zeros(2, NUM_BANDS, 12))
    assert latents.shape == (2, TINY.latent_dim, 12)
    assert MelHead(TINY)(latents).shape == (2, NUM_BANDS, 12)


def test_latents_depend_on_neighbours_within_reach_only() -> None:
    torch.manual_seed(0)
    encoder, reach = MelEncoder(TINY), encoder_reach(TINY)
    mels = torch.randn(1, NUM_BANDS, 41)
    changed = mels.clone()
    changed[0, :, 20] += 1.0
    differs = (encoder(mels) != encoder(changed)).any(dim=1)[0].nonzero().flatten().tolist()
    assert differs == list(range(20 - reach, 20 + reach + 1))

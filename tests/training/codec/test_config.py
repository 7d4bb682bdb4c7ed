import json

from snac import SNAC

from tests.training.codec.speech import TINY
from training.codec.config import SAMPLES_PER_LATENT, CodecConfig


def test_json_keeps_every_field() -> None:
    config = CodecConfig(codebook_size=4_096, encoder_blocks=5)
    assert CodecConfig(**json.loads(json.dumps(config.to_json()))) == config


def test_snac_makes_one_latent_of_512_samples() -> None:
    codec = SNAC(**TINY.to_snac())
    assert codec.hop_length == SAMPLES_PER_LATENT == 512
    assert codec.latent_dim == TINY.latent_dim

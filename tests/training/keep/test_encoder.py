"""The kept encoder gives exactly the kept tokens."""

import numpy as np
import numpy.typing as npt
import torch

from tests.training.keep.conftest import write_tokens
from training.codec.config import CodecConfig
from training.codec.encoder import MelEncoder
from training.codec.frozen import load_frozen, write_frozen
from training.codec.quantizer import build_quantizer
from training.folder import TrainingFolder
from training.keep.__main__ import keep
from training.keep.folder import KeptFolder
from training.keep.restore import restore
from training.shards import read_shard, shard_path, write_shard


def make_samples(seed: int) -> npt.NDArray[np.int16]:
    """Returns noise bursts that fill the 30 frames of an utterance."""
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.uniform(0, 6_000, 120), 512)[:-5]
    return (loudness * random.normal(0, 1, loudness.size)).astype(np.int16)


def test_the_restored_encoder_gives_the_restored_tokens(
    folder: TrainingFolder, kept: KeptFolder
) -> None:
    torch.manual_seed(0)
    config = CodecConfig(codebook_size=16, latent_dim=16, encoder_width=16)
    write_frozen(folder.encoder, config, MelEncoder(config), build_quantizer(config), {})
    frozen = load_frozen(folder.encoder)
    for number in range(3):
        write_tokens(folder, number, size=1)
        path = shard_path(folder.tokens, number)
        arrays, info = read_shard(path)
        arrays["codes"] = frozen.encode(make_samples(number))
        write_shard(path, arrays, info)
    keep(kept, folder)
    fresh = TrainingFolder(folder.root / "fresh")
    restore(fresh, kept)
    frozen = load_frozen(fresh.encoder)
    for number in range(3):
        codes = read_shard(shard_path(fresh.tokens, number))[0]["codes"]
        assert len(np.unique(codes)) >= 4
        assert np.array_equal(frozen.encode(make_samples(number)), codes)

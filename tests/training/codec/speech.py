"""Shards of made-up speech, and a codec that is small enough for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.codec.config import SAMPLE_RATE, CodecConfig
from training.shards import shard_path, write_shard

TINY = CodecConfig(
    codebook_size=16,
    latent_dim=8,
    decoder_dim=16,
    encoder_width=8,
    encoder_blocks=1,
    mel_head_width=8,
    mel_head_blocks=1,
)


def write_speech(
    folder: Path,
    number: int = 0,
    *,
    lengths: tuple[int, ...] = (30_000, 17_000),
    made_from: str = "speech hash",
) -> list[np.ndarray]:
    """Writes one shard of utterances of noisy tones with three symbols each; returns them."""
    random = np.random.default_rng(number)
    utterances = []
    for length in lengths:
        times = np.arange(length) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * random.uniform(100, 300) * times)
        noise = random.standard_normal(length) * 0.05
        utterances.append(np.round((tone * 0.3 + noise) * 20_000).astype(np.int16))
    texts: list[dict[str, Any]] = [
        {
            "number": 32 * number + index,
            "speaker": "tara",
            "kind": "statement",
            "text": "Hi.",
            "symbols": ["h", "ˈaɪ", "."],
        }
        for index in range(len(lengths))
    ]
    seconds = [length / SAMPLE_RATE for length in lengths]
    write_shard(
        shard_path(folder, number),
        {
            "samples": np.concatenate([np.zeros(0, np.int16), *utterances]),
            "sample_ends": np.cumsum(lengths, dtype=np.int64),
            "symbol_starts": _times(seconds, (0.1, 0.3, 0.6)),
            "symbol_ends": _times(seconds, (0.3, 0.6, 1.0)),
        },
        {
            "made_from": made_from,
            "utterances": texts,
            "num_skipped": 0,
            "sample_rate": SAMPLE_RATE,
        },
    )
    return utterances


def _times(seconds: Sequence[float], parts: Sequence[float]) -> np.ndarray:
    return np.asarray([length * part for length in seconds for part in parts], np.float32)

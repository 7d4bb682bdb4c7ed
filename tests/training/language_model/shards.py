"""Shards of random tokens, in the format of the tokens stage."""

from pathlib import Path

import numpy as np

from training.language_model.vocabulary import MARKS, SYMBOLS
from training.shards import shard_path, write_shard

SPEAKERS = ("tara", "leo", "zoe")
CODEBOOK_SIZE = 4


def write_tokens(
    folder: Path,
    number: int,
    *,
    num_utterances: int = 12,
    max_frames: int = 25,
    made_from: str = "speech-and-encoder",
) -> None:
    """Writes a shard whose content follows from its number."""
    random = np.random.default_rng(number)
    utterances, codes, times = [], [], []
    for index in range(num_utterances):
        num_frames = int(random.integers(10, max_frames + 1))
        symbols = [*random.choice(SYMBOLS[len(MARKS) :], 2 * num_frames - 1).tolist(), "."]
        bounds = np.linspace(0, num_frames, len(symbols) + 1, dtype=np.float32)
        utterances.append(
            {
                "number": 32 * number + index,
                "speaker": SPEAKERS[index % len(SPEAKERS)],
                "kind": "statement",
                "text": f"text {number} {index}",
                "symbols": symbols,
            }
        )
        codes.append(random.integers(0, CODEBOOK_SIZE, (num_frames, 7)).astype(np.uint16))
        times.append(np.stack([bounds[:-1], bounds[1:]], 1))
    write_shard(
        shard_path(folder, number),
        {
            "codes": np.concatenate(codes),
            "frame_ends": np.cumsum([len(each) for each in codes], dtype=np.int64),
            "symbol_frames": np.concatenate(times),
        },
        {"made_from": made_from, "utterances": utterances},
    )

"""Shards of random tokens and code vectors, in the formats of the stages before."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.language_model.embeddings import NUM_LEVELS
from training.language_model.vocabulary import MARKS, SYMBOLS
from training.shards import shard_path, write_shard

SPEAKERS = ("tara", "leo", "zoe")
CODEBOOK_SIZE = 4
CODE_DIM = 8


def code_vectors() -> npt.NDArray[np.float32]:
    """Returns the vectors of the codes [3, codes, 8]."""
    shape = (NUM_LEVELS, CODEBOOK_SIZE, CODE_DIM)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def write_encoder(path: Path) -> None:
    """Writes what the language model reads of a frozen encoder."""
    names = [f"quantizer.quantizers.{level}.codebook.weight" for level in range(NUM_LEVELS)]
    write_shard(
        path,
        dict(zip(names, code_vectors(), strict=True)),
        {"config": {"codebook_size": CODEBOOK_SIZE}},
    )


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

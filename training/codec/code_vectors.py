"""The vectors of the codes, read from the frozen encoder's file without the codec's classes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.codec.config import BOOK_STRIDES
from training.errors import TrainingError
from training.shards import read_shard


def read_code_vectors(encoder: Path) -> npt.NDArray[np.float32]:
    """Returns a vector for each code of each book [3, codes, dim], their mean square 1.

    SNAC compares directions (`snac.vq.VectorQuantize.decode_latents`), so that lengths mean
    nothing. Raises `TrainingError` if nothing is frozen yet.
    """
    if not encoder.is_file():
        raise TrainingError(f"{encoder} is missing: run the stage codes first")
    weights, _ = read_shard(encoder)
    vectors: npt.NDArray[np.float32] = np.stack(
        [
            weights[f"quantizer.quantizers.{book}.codebook.weight"].astype(np.float32)
            for book in range(len(BOOK_STRIDES))
        ]
    )
    vectors /= np.sqrt((vectors**2).mean(-1, keepdims=True))
    return vectors

"""Speech shards to token shards, one for one."""

from pathlib import Path
from typing import Any

import numpy as np

from training.codec.config import SAMPLE_RATE, SAMPLES_PER_FRAME
from training.codec.frozen import FrozenEncoder
from training.shards import Array, read_shard, write_shard

TAIL_SEC = 0.25
"""Kept after the start of an utterance's last symbol, its stop; what follows is silence."""


def encode_shard(source: Path, target: Path, frozen: FrozenEncoder) -> int:
    """Encodes all utterances of a speech shard; returns the number of frames."""
    speech, info = read_shard(source)
    utterances: list[dict[str, Any]] = info["utterances"]
    codes: list[Array] = []
    symbol_frames: list[Array] = []
    sample_start = symbol_start = 0
    for utterance, sample_end in zip(utterances, speech["sample_ends"], strict=True):
        symbol_end = symbol_start + len(utterance["symbols"])
        starts = speech["symbol_starts"][symbol_start:symbol_end]
        ends = speech["symbol_ends"][symbol_start:symbol_end]
        samples = speech["samples"][sample_start : int(sample_end)]
        samples = samples[: int((float(starts[-1]) + TAIL_SEC) * SAMPLE_RATE)]
        frames = frozen.encode(samples)
        codes.append(frames)
        symbol_frames.append(to_frame_times(starts, ends, len(frames)))
        sample_start, symbol_start = int(sample_end), symbol_end
    lengths = [len(frames) for frames in codes]
    arrays = {
        "codes": np.concatenate(codes) if codes else np.zeros((0, 7), np.uint16),
        "frame_ends": np.cumsum(lengths, dtype=np.int64),
        "symbol_frames": (
            np.concatenate(symbol_frames) if symbol_frames else np.zeros((0, 2), np.float32)
        ),
    }
    made_from = {"speech": info["made_from"], "encoder": frozen.identity}
    write_shard(target, arrays, {"made_from": made_from, "utterances": utterances})
    return sum(lengths)


def to_frame_times(starts: Array, ends: Array, num_frames: int) -> Array:
    """Returns the start and end of each symbol [symbols, 2] in frames, at most `num_frames`."""
    seconds = np.stack([starts, ends], axis=1).astype(np.float64)
    frames = seconds * (SAMPLE_RATE / SAMPLES_PER_FRAME)
    return np.minimum(frames, num_frames).astype(np.float32)

"""Held-out recordings through parts of the codec, written as shards that the ear reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.codec.config import SAMPLE_RATE, SAMPLES_PER_FRAME, SAMPLES_PER_LATENT
from training.ear.recordings import Pcm, split_samples
from training.errors import TrainingError
from training.shards import read_info, read_shard, write_shard


@dataclass(frozen=True, slots=True)
class Rendered:
    """One recording as it comes out, and the distance of its log mels, in nats (0: the same)."""

    samples: Pcm
    mel_distance: float


@dataclass(frozen=True, slots=True)
class Rendering:
    """A way to render recordings: its column in the table, and the weights that decide it."""

    name: str
    identity: str
    """A hash of the weights; "" if there are none."""
    render: Callable[[torch.Tensor], Rendered]
    """Takes samples [1, samples] in float64, whole frames."""

    def path(self, folder: Path, source: Path) -> Path:
        """Returns the file for a shard of recordings."""
        name = "-".join(part for part in (self.name, self.identity, source.stem) if part)
        return folder / f"{name}.safetensors"


@dataclass(frozen=True, slots=True)
class Source:
    """The first recordings of a shard."""

    path: Path
    num_recordings: int


def select_recordings(paths: Sequence[Path], limit: int | None) -> list[Source]:
    """Returns the first recordings of the shards, all of them without a limit."""
    sources: list[Source] = []
    left = float("inf") if limit is None else limit
    for path in paths:
        num_recordings = int(min(left, len(read_info(path)["utterances"])))
        if num_recordings:
            sources.append(Source(path, num_recordings))
        left -= num_recordings
    return sources


def render_shard(rendering: Rendering, source: Source, folder: Path) -> Path:
    """Renders the recordings of a shard unless that was done before; returns the file."""
    target = rendering.path(folder, source.path)
    if _num_rendered(target) >= source.num_recordings:
        return target
    arrays, info = read_shard(source.path)
    recordings = split_samples(arrays["samples"], arrays["sample_ends"])[: source.num_recordings]
    rendered = [_render(rendering, samples) for samples in recordings]
    utterances = [
        {
            "speaker": utterance["speaker"],
            "text": utterance["text"],
            "mel_distance": each.mel_distance,
            "num_latents": len(each.samples) // SAMPLES_PER_LATENT,
        }
        for utterance, each in zip(info["utterances"], rendered, strict=False)
    ]
    write_shard(
        target,
        {
            "samples": np.concatenate([each.samples for each in rendered]),
            "sample_ends": np.cumsum([len(each.samples) for each in rendered], dtype=np.int64),
        },
        {"made_from": info["made_from"], "utterances": utterances, "sample_rate": SAMPLE_RATE},
    )
    return target


def to_mel_distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Returns the mean absolute difference of log mels."""
    return float((found - wanted).abs().mean())


def _render(rendering: Rendering, samples: Pcm) -> Rendered:
    num_frames = -(-len(samples) // SAMPLES_PER_FRAME)
    padded = np.zeros(num_frames * SAMPLES_PER_FRAME)
    padded[: len(samples)] = samples.astype(np.float64) / 32768
    with torch.inference_mode():
        return rendering.render(torch.from_numpy(padded)[None])


def _num_rendered(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        info: dict[str, Any] = read_info(path)
    except TrainingError:
        return 0
    return len(info["utterances"])

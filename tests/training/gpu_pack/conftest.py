"""A small training folder with speech, and a folder that stands for downloaded packages."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.keep.conftest import folder, write_voice
from training.files import write_atomically, write_json
from training.folder import TrainingFolder
from training.recipe import FILE
from training.shards import shard_path, write_shard

__all__ = ["folder"]


def write_speech(folder: TrainingFolder, number: int, *, seconds: float = 2.0) -> None:
    """Writes a speech shard of tones, as far as the decoder's stage reads it."""
    times = np.arange(int(24_000 * seconds)) / 24_000
    samples = 8_000 * np.sin(2 * np.pi * (150 + 60 * number) * times) * np.sin(9 * times) ** 2
    made_from = "5bee"
    info = {"made_from": made_from, "sample_rate": 24_000, "utterances": []}
    write_json(folder.speech / FILE, {"stage": "speech", "hash": made_from, "made_from": {}})
    write_shard(shard_path(folder.speech, number), {"samples": samples.astype(np.int16)}, info)


@pytest.fixture
def trained(folder: TrainingFolder) -> TrainingFolder:
    """Tokens, speech and states of both models, at step 101."""
    write_voice(folder, seed=1, word_error_rate=0.2)
    for number in range(3):
        write_speech(folder, number)
    return folder


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    write_atomically(tmp_path / "wheels" / "snac-1.2.1-py3-none-any.whl", b"a wheel")
    return tmp_path / "wheels"

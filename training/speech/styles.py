"""Styles of the teacher as arrays: one row for each number of characters."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from training.files import hash_file
from training.speech.speakers import Speaker, StyleMix
from training.speech.style_files import require_styles, style_path

NUM_ROWS, NUM_COLUMNS = 510, 256

Style: TypeAlias = npt.NDArray[np.float32]
"""[rows, 256]: row n - 1 is for a text of n characters; timbre first, then prosody."""


def load_styles(speakers: Iterable[Speaker], folder: Path) -> dict[str, Style]:
    """Returns each speaker's style. Raises `TrainingError` if a file is missing."""
    speakers = tuple(speakers)
    require_styles(speakers, folder)
    return {speaker.name: _mix_style(speaker, folder) for speaker in speakers}


def hash_styles(speakers: Iterable[Speaker], folder: Path) -> dict[str, str]:
    """Returns the hash of each style file that a speaker uses."""
    names = sorted({name for speaker in speakers for name in speaker.styles})
    return {name: hash_file(style_path(folder, name)) for name in names}


def _mix_style(speaker: Speaker, folder: Path) -> Style:
    half = NUM_COLUMNS // 2
    timbre, prosody = _mix(speaker.timbre, folder), _mix(speaker.prosody, folder)
    return np.hstack([timbre[:, :half], prosody[:, half:]])


def _mix(mix: StyleMix, folder: Path) -> Style:
    mixed = np.zeros((NUM_ROWS, NUM_COLUMNS), np.float32)
    for name, weight in sorted(mix.weights.items()):
        pack = np.fromfile(style_path(folder, name), "<f4").reshape(NUM_ROWS, NUM_COLUMNS)
        mixed += np.float32(weight) * pack
    return mixed

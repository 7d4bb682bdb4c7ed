"""Judges a codec: held-out recordings, as they are and through encoder and decoder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.ear.error_rate import WordErrors
from training.ear.recordings import Pcm
from training.evaluate.hearing import hear
from training.evaluate.spoken import SAMPLE_RATE, to_wave
from training.evaluate.timbre import log_mels
from training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class CodecRow:
    """One speaker: word error rate of both, and the mean distance of their log mels in nats."""

    speaker: str
    word_error_rate: float
    original_word_error_rate: float
    mel_distance: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A recording of the teacher."""

    key: str
    speaker: str
    text: str
    samples: Pcm


def judge_codec(
    recordings: Sequence[HeldOut],
    recode: Callable[[Pcm], Pcm],
    folder: Path,
    settings: TrainingSettings,
) -> list[CodecRow]:
    """Returns a row for each speaker; `recode` is encoder and decoder of the codec."""
    recoded = [recode(each.samples) for each in recordings]
    before = [(each.key, each.samples, each.text) for each in recordings]
    after = [
        (each.key, samples, each.text) for each, samples in zip(recordings, recoded, strict=True)
    ]
    errors = {each.key: each.errors for each in hear(after, folder, settings)}
    original = {each.key: each.errors for each in hear(before, folder, settings)}
    distances = {
        each.key: mel_distance(each.samples, samples)
        for each, samples in zip(recordings, recoded, strict=True)
    }
    rows = []
    for speaker in dict.fromkeys(each.speaker for each in recordings):
        keys = [each.key for each in recordings if each.speaker == speaker]
        rows.append(
            CodecRow(
                speaker=speaker,
                word_error_rate=round(_rate(keys, errors), 4),
                original_word_error_rate=round(_rate(keys, original), 4),
                mel_distance=round(float(np.mean([distances[key] for key in keys])), 4),
            )
        )
    return rows


def mel_distance(one: Pcm, other: Pcm) -> float:
    """Returns the mean absolute difference of log mels, over the shorter recording."""
    first, second = (log_mels(to_wave(each), SAMPLE_RATE) for each in (one, other))
    length = min(len(first), len(second))
    return float(np.abs(first[:length] - second[:length]).mean()) if length else 0.0


def _rate(keys: Sequence[str], errors: Mapping[str, WordErrors]) -> float:
    return sum((errors[key] for key in keys if key in errors), WordErrors()).rate

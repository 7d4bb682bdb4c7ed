"""The ends of an utterance."""

import numpy as np
import pytest

from training.speech.levels import measure_levels
from training.speech.trimming import LEAD_SEC, TAIL_SEC, trim

RATE = 24_000
LEAD, TAIL = round(LEAD_SEC * RATE), round(TAIL_SEC * RATE)


@pytest.mark.parametrize("silence_sec", [0.0, 0.01, 1.0])
def test_both_ends_have_their_silence(silence_sec: float) -> None:
    """Longer silence is cut, shorter silence is filled."""
    silence = np.zeros(round(silence_sec * RATE), np.float32)
    sound = np.full(RATE, 0.1, np.float32)
    samples = np.concatenate([silence, sound, silence])
    start, end = float(len(silence)), float(len(silence) + RATE)
    levels = measure_levels(samples, speech_level=0.1, sample_rate=RATE)
    bounds = np.array([start, start + 12_000, end, len(samples)])
    trimmed, moved = trim(samples, bounds, levels, sample_rate=RATE)
    assert len(trimmed) == LEAD + RATE + TAIL
    assert moved.tolist() == [0, LEAD + 12_000, LEAD + RATE, len(trimmed)]
    assert not trimmed[:LEAD].any()
    assert not trimmed[-TAIL:].any()
    assert trimmed[LEAD : LEAD + RATE].tolist() == sound.tolist()


def test_noise_at_the_ends_is_faded() -> None:
    samples = np.full(3 * RATE, 1e-4, np.float32)
    samples[RATE : 2 * RATE] = 0.1
    levels = measure_levels(samples, speech_level=0.1, sample_rate=RATE)
    bounds = np.array([RATE, 2 * RATE, 3 * RATE], np.float64)
    trimmed, _ = trim(samples, bounds, levels, sample_rate=RATE)
    assert trimmed[0] == trimmed[-1] == 0
    assert trimmed[LEAD - 1] == samples[0]
    assert samples[-1] == np.float32(1e-4)  # the teacher's samples are not changed

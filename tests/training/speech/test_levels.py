"""Levels over time, and where a sound ends."""

import numpy as np
import pytest

from training.speech.levels import Levels, measure_levels

BLOCK = 240


def levels(text: str) -> Levels:
    """`#` is a loud block, `.` a silent one."""
    return Levels(np.array([0.0 if each == "#" else -60.0 for each in text]), BLOCK)


def test_decibels_are_relative_to_the_speech() -> None:
    samples = np.full(1000, 0.01, np.float32)
    measured = measure_levels(samples, speech_level=0.1, sample_rate=24_000)
    assert measured.block_samples == BLOCK
    assert measured.decibels[:4] == pytest.approx([-20.0] * 4, abs=1e-4)
    assert len(measured.decibels) == 5  # the last block is filled with silence


@pytest.mark.parametrize(("text", "block"), [("..##.", 2), ("#", 0)])
def test_first_sound(text: str, block: int) -> None:
    assert levels(text).first_above(-30) == block * BLOCK


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("..##..", 4),
        ("##" + 15 * "." + "#..", 18),  # the release of a plosive
        ("##" + 30 * "." + "#..", 2),  # a click after the speech
    ],
)
def test_end_of_sound(text: str, block: int) -> None:
    assert levels(text).end_of_sound(-30) == block * BLOCK


def test_sound_elsewhere_does_not_count() -> None:
    measured = levels("##...##.##")
    assert measured.end_of_sound(-30, start=2 * BLOCK, end=8 * BLOCK) == 7 * BLOCK
    assert measured.end_of_sound(-30, start=2 * BLOCK, end=5 * BLOCK) is None


def test_silence_has_no_sound() -> None:
    assert levels("....").first_above(-30) is None
    assert levels("....").end_of_sound(-30) is None

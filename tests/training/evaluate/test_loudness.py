import numpy as np
import pytest

from tests.training.evaluate.signals import RATE, join, silence, tone
from training.evaluate.loudness import measure_levels


def test_measures_the_level_of_the_speech_alone() -> None:
    time = np.arange(RATE) / RATE
    sine = (0.1 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    levels = measure_levels(join(silence(0.5), sine, silence(0.5)), RATE)
    # A sine of amplitude 0.1: 20 log10(0.1 / sqrt(2)).
    assert levels.speech_db == pytest.approx(-23.01, abs=0.05)
    assert levels.speech_sec == pytest.approx(1.0)
    assert levels.speech_frames == (50, 150)


def test_silence_has_no_speech() -> None:
    levels = measure_levels(silence(0.5, noise=1e-5), RATE)
    assert levels.speech_sec == 0
    assert not levels.is_start_clipped
    assert measure_levels(silence(0), RATE).speech_sec == 0


def test_an_edge_in_the_middle_of_a_sound_is_clipped() -> None:
    whole = join(silence(0.05), tone(150, 0.5), silence(0.05))
    cut = tone(150, 0.5)
    assert not measure_levels(whole, RATE).is_start_clipped
    assert not measure_levels(whole, RATE).is_end_clipped
    assert measure_levels(join(cut, silence(0.1)), RATE).is_start_clipped
    assert not measure_levels(join(cut, silence(0.1)), RATE).is_end_clipped
    assert measure_levels(join(silence(0.1), cut), RATE).is_end_clipped

import numpy as np
import pytest

from tests.training.evaluate.signals import RATE, join, silence, tone
from training.evaluate.pitch import measure_pitch, track_pitch


@pytest.mark.parametrize("hz", [80.0, 115.0, 190.0, 320.0])
def test_finds_the_pitch_of_a_tone(hz: float) -> None:
    pitch = measure_pitch(join(silence(0.2), tone(hz, 0.6), silence(0.2)), RATE)
    assert pitch is not None
    assert pitch.median_hz == pytest.approx(hz, rel=0.01)
    assert pitch.spread_semitones < 0.1


def test_finds_the_pitch_of_a_voice_without_its_fundamental() -> None:
    wave = tone(400, 0.6) + tone(600, 0.6)
    pitch = measure_pitch(wave, RATE)
    assert pitch is not None
    assert pitch.median_hz == pytest.approx(200, rel=0.01)


def test_the_spread_is_half_of_the_range() -> None:
    """Half of the frames are an octave higher: 12 semitones of range."""
    pitch = measure_pitch(join(tone(120, 0.6), tone(240, 0.6)), RATE)
    assert pitch is not None
    assert pitch.spread_semitones == pytest.approx(6, abs=0.1)


def test_noise_and_silence_have_no_pitch() -> None:
    assert measure_pitch(silence(0.5, noise=0.1), RATE) is None
    assert measure_pitch(silence(0.5), RATE) is None
    assert track_pitch(silence(0.01), RATE).size == 0
    assert measure_pitch(np.zeros(0, np.float32), RATE) is None

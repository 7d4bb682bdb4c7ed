"""All utterances are equally loud, and none is clipped."""

import numpy as np
import numpy.typing as npt
import pytest

from training.speech.loudness import MAX_PEAK, TARGET_RMS, equalise, speech_level, to_int16

RATE = 24_000


def hum(amplitude: float, duration_sec: float = 1.0) -> npt.NDArray[np.float32]:
    times = np.arange(round(duration_sec * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 200 * times)).astype(np.float32)


def test_pauses_do_not_count() -> None:
    alone = speech_level(hum(0.2), sample_rate=RATE)
    pause = np.full(2 * RATE, 1e-4, np.float32)
    samples = np.concatenate([pause, hum(0.2), pause])
    assert speech_level(samples, sample_rate=RATE) == pytest.approx(alone)
    # Blocks at the ends are partly silent.
    assert alone == pytest.approx(0.2 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("amplitude", [0.02, 0.2, 0.9])
def test_equally_loud(amplitude: float) -> None:
    samples = hum(amplitude)
    loud = equalise(samples, level=speech_level(samples, sample_rate=RATE))
    assert speech_level(loud, sample_rate=RATE) == pytest.approx(TARGET_RMS, rel=1e-4)


def test_peaks_are_not_clipped() -> None:
    samples = hum(0.05)
    samples[::1000] = 0.9
    loud = equalise(samples, level=speech_level(samples, sample_rate=RATE))
    assert np.abs(loud).max() == pytest.approx(MAX_PEAK)
    assert np.abs(to_int16(loud)).max() == round(MAX_PEAK * 32767)


def test_silence_has_no_level() -> None:
    assert speech_level(np.zeros(5000, np.float32), sample_rate=RATE) == 0.0

"""Pitch is raised by resampling."""

from fractions import Fraction

import numpy as np
import pytest

from training.speech.resampling import raise_pitch

RATE = 24_000


def test_a_factor_of_one_changes_nothing() -> None:
    samples = np.arange(10, dtype=np.float32)
    assert raise_pitch(samples, Fraction(1)) is samples


@pytest.mark.parametrize("factor", [Fraction(27, 25), Fraction(4, 5)])
def test_pitch_and_length(factor: Fraction) -> None:
    times = np.arange(RATE) / RATE
    envelope = np.sin(np.pi * times) ** 2
    samples = (envelope * np.sin(2 * np.pi * 300 * times)).astype(np.float32)
    raised = raise_pitch(samples, factor)
    assert len(raised) == pytest.approx(RATE / factor, abs=factor.denominator)
    stretched = np.arange(len(raised)) / RATE * float(factor)
    expected = np.sin(np.pi * stretched) ** 2 * np.sin(2 * np.pi * 300 * stretched)
    inside = stretched < 1
    assert raised[inside] == pytest.approx(expected[inside], abs=2e-4)

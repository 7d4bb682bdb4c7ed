"""Samples: the checks, the 16 bits, the edges."""

import numpy as np
import pytest

from orpheus_server.audio import (
    Samples,
    empty,
    fade_edges,
    is_finite,
    is_silent,
    to_int16,
    trim_edges,
)

RATE = 24_000
WINDOW = 240


def samples_of(*values: float) -> Samples:
    return np.array(values, dtype=np.float32)


def constant(num_samples: int, value: float = 0.5) -> Samples:
    return np.full(num_samples, value, dtype=np.float32)


def with_silence(num_lead: int, num_loud: int, num_tail: int) -> Samples:
    return np.concatenate([constant(num_lead, 0.0), constant(num_loud), constant(num_tail, 0.0)])


def test_empty() -> None:
    assert empty().shape == (0,)
    assert empty().dtype == np.float32


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, True), (-1e30, True), (np.nan, False), (np.inf, False)]
)
def test_is_finite(value: float, expected: bool) -> None:
    assert is_finite(samples_of(0.0, value, 0.0)) is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), True), ((0.0, 0.0), True), ((9e-4, -9e-4), True), ((0.0, -2e-3), False)],
)
def test_is_silent(values: tuple[float, ...], expected: bool) -> None:
    assert is_silent(samples_of(*values)) is expected


def test_to_int16() -> None:
    """Full scale is clipped: in orpheus-speech 1.5 * 32767 wraps round to a loud click."""
    given = samples_of(0.0, 1.0, -1.0, 1.5, -7.0, 0.5, 1.4 / 32767, 1.6 / 32767, -1.6 / 32767)
    assert to_int16(given).tolist() == [0, 32767, -32767, 32767, -32767, 16384, 1, 2, -2]
    assert to_int16(given).dtype == np.int16


@pytest.mark.parametrize(
    ("lead", "tail", "kept_lead", "kept_tail"),
    [
        (7200, 7200, 2400, 4800),
        (7200, 0, 2400, 0),
        (0, 7200, 0, 4800),
        (2400, 4800, 2400, 4800),
        (1200, 480, 1200, 480),
    ],
)
def test_trim_edges(lead: int, tail: int, kept_lead: int, kept_tail: int) -> None:
    """canopyai#299: 600 ms of near silence before the first word."""
    samples = with_silence(lead, 10 * WINDOW, tail)
    trimmed = trim_edges(samples, sample_rate=RATE, max_lead_sec=0.1, max_tail_sec=0.2)
    assert np.array_equal(trimmed, with_silence(kept_lead, 10 * WINDOW, kept_tail))


def test_noise_before_speech_is_silence() -> None:
    noise = constant(20 * WINDOW, 0.005)
    trimmed = trim_edges(
        np.concatenate([noise, constant(WINDOW)]),
        sample_rate=RATE,
        max_lead_sec=0.0,
        max_tail_sec=0.0,
    )
    assert np.array_equal(trimmed, constant(WINDOW))


@pytest.mark.parametrize("num_samples", [0, 1, WINDOW - 1, 50 * WINDOW])
def test_silence_alone_is_not_trimmed(num_samples: int) -> None:
    silence = constant(num_samples, 0.0)
    trimmed = trim_edges(silence, sample_rate=RATE, max_lead_sec=0.0, max_tail_sec=0.0)
    assert trimmed.size == num_samples


def test_sound_in_a_last_broken_window_stays() -> None:
    """Only whole windows were measured, so up to 10 ms of a word could be cut off its end."""
    samples = np.concatenate([with_silence(0, WINDOW, WINDOW), constant(WINDOW - 1)])
    trimmed = trim_edges(samples, sample_rate=RATE, max_lead_sec=0.0, max_tail_sec=0.0)
    assert np.array_equal(trimmed, samples)


def test_fade_edges() -> None:
    faded = fade_edges(constant(480, 1.0), sample_rate=RATE)
    ramp = np.arange(120) / 120
    assert faded[:120] == pytest.approx(ramp)
    assert faded[120:360].tolist() == [1.0] * 240
    assert faded[360:] == pytest.approx(ramp[::-1])
    assert faded[0] == faded[-1] == 0.0


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [(0, []), (1, [1.0]), (2, [0.0, 0.0]), (4, [0.0, 0.5, 0.5, 0.0]), (3, [0.0, 1.0, 0.0])],
)
def test_fade_of_few_samples(num_samples: int, expected: list[float]) -> None:
    assert fade_edges(constant(num_samples, 1.0), sample_rate=RATE).tolist() == expected


def test_fade_leaves_its_input_alone() -> None:
    samples = constant(480)
    fade_edges(samples, sample_rate=RATE)
    assert samples.tolist() == [0.5] * 480

"""The tempo changes, the pitch does not."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.audio.samples import empty
from orpheus_server.audio.tempo import TempoFilter, tempo_factors
from orpheus_server.interfaces import Samples
from tests.support.app import change_tempo

RATE = 24_000
SPEEDS = [0.25, 0.5, 0.7, 1.3, 2.0, 4.0]


def tone(num_samples: int, pitch: float = 220.0) -> Samples:
    angle = 2 * np.pi * pitch * np.arange(num_samples) / RATE
    return (0.3 * np.sin(angle)).astype(np.float32)


def dominant_pitch(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax()) * RATE / samples.size


@pytest.mark.parametrize("speed", SPEEDS)
def test_tempo_and_pitch(speed: float) -> None:
    """Lex-au#78: speed was ignored. Resampling instead would have moved the pitch."""
    changed = change_tempo(tone(2 * RATE), speed=speed, sample_rate=RATE)
    assert changed.dtype == np.float32
    assert changed.size == round(2 * RATE / speed)
    assert dominant_pitch(changed) == pytest.approx(220.0, abs=1.5)


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_end_is_not_lost(speed: float) -> None:
    """The filter alone never returns its last windows, which are 65 ms at a speed of 0.25."""
    samples = np.concatenate([np.zeros(RATE - 9600, dtype=np.float32), tone(9600)])
    changed = change_tempo(samples, speed=speed, sample_rate=RATE)
    energy = float(np.square(changed).sum()) * speed / float(np.square(samples).sum())
    assert energy == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("speed", [*SPEEDS, 1.0])
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 9000), max_size=6))
def test_pieces_sound_like_the_whole(speed: float, cuts: list[int]) -> None:
    """ffmpeg's `atempo` cuts depending on its input blocks, and fails if one becomes no sample."""
    samples = tone(9000)
    whole = TempoFilter(speed=speed, sample_rate=RATE)
    expected = np.concatenate([whole.feed(samples), whole.flush()])
    pieces = TempoFilter(speed=speed, sample_rate=RATE)
    edges = [0, *sorted(cuts), samples.size]
    out = [pieces.feed(samples[start:end]) for start, end in pairwise(edges)]
    assert np.array_equal(np.concatenate([*out, pieces.flush()]), expected)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("num_samples", [0, 1, 3, 1023, 1024, 1025])
def test_few_samples(num_samples: int, speed: float) -> None:
    changed = change_tempo(tone(num_samples), speed=speed, sample_rate=RATE)
    assert changed.size == round(num_samples / speed)


def test_samples_are_returned_before_the_end() -> None:
    tempo = TempoFilter(speed=2.0, sample_rate=RATE)
    assert tempo.feed(tone(RATE)).size > 0.8 * RATE / 2


def test_changing_the_tempo_of_no_samples() -> None:
    assert TempoFilter(speed=2.0, sample_rate=RATE).flush().size == 0
    assert change_tempo(empty(), speed=0.5, sample_rate=RATE).size == 0


def test_normal_speed_is_the_same_array() -> None:
    samples = tone(100)
    assert change_tempo(samples, speed=1.0, sample_rate=RATE) is samples


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        (0.25, [0.5, 0.5]),
        (0.3, [0.5, 0.6]),
        (0.5, [0.5]),
        (0.7, [0.7]),
        (1.0, [1.0]),
        (4.0, [4.0]),
    ],
)
def test_tempo_factors(speed: float, expected: list[float]) -> None:
    assert tempo_factors(speed) == pytest.approx(expected)

"""The crossfade from one attempt's audio to another's repeats nothing, loses nothing, and does not
click.
"""

from itertools import pairwise

import numpy as np
import pytest

from orpheus_server.audio.crossfade import CrossFade
from orpheus_server.audio.samples import empty
from orpheus_server.interfaces import Samples


def noise(num_samples: int, seed: int) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, num_samples).astype(np.float32)


def run(cross_fade: CrossFade, samples: Samples, edges: list[int]) -> Samples:
    parts = [
        cross_fade.feed(samples[start:end]) for start, end in pairwise([0, *edges, samples.size])
    ]
    return np.concatenate([*parts, cross_fade.flush()])


@pytest.mark.parametrize("edges", [[], [1, 2, 50], [700, 801, 1000, 1041], [999], [1240]])
class TestPieces:
    def test_equal_audio_continues_bit_for_bit(self, edges: list[int]) -> None:
        samples = noise(3000, 1)
        heard = run(CrossFade(1000, samples[1000:1240]), samples, edges)
        np.testing.assert_array_equal(heard, samples[1000:])

    def test_different_audio_is_crossfaded(self, edges: list[int]) -> None:
        samples, tail = noise(3000, 1), noise(240, 2)
        heard = run(CrossFade(1000, tail), samples, edges)
        weight = 1 - np.arange(240) / 240
        expected = weight * tail + (1 - weight) * samples[1000:1240]
        assert heard[:240] == pytest.approx(expected, abs=1e-6)
        np.testing.assert_array_equal(heard[240:], samples[1240:])

    def test_nothing_to_fade_from(self, edges: list[int]) -> None:
        samples = noise(3000, 1)
        np.testing.assert_array_equal(
            run(CrossFade(1000, empty()), samples, edges)[1:], samples[1001:]
        )


@pytest.mark.parametrize("num_more", [0, 100])
def test_audio_that_ends_within_the_fade_is_faded_out(num_more: int) -> None:
    """Otherwise the audio would end in a step from full level to zero."""
    samples, tail = np.zeros(1000 + num_more, np.float32), np.ones(240, np.float32)
    heard = run(CrossFade(1000, tail), samples, [])
    assert heard == pytest.approx(1 - np.arange(240) / 240, abs=1e-6)


def test_the_input_is_not_modified() -> None:
    """The buffer and the edge trimmer may still hold it."""
    samples = np.zeros(300, np.float32)
    CrossFade(0, np.ones(240, np.float32)).feed(samples)
    assert not samples.any()

import numpy as np

from tests.training.evaluate.signals import RATE, join, silence, tone
from training.evaluate.loudness import Wave
from training.evaluate.timbre import Vector, find_centroids, mel_statistics


def voice(hz: float, *, brightness: int, noise_seed: int) -> Wave:
    """Returns a synthetic speaker: more harmonics sound brighter."""
    random = np.random.default_rng(noise_seed)
    wave = tone(hz * random.uniform(0.95, 1.05), 0.5, num_harmonics=brightness)
    return wave + (0.002 * random.standard_normal(wave.size)).astype(np.float32)


def vector(wave: Wave) -> Vector:
    found = mel_statistics(wave, RATE)
    assert found is not None
    return found


SPEAKERS = {"low": (100.0, 20), "dull": (180.0, 3), "bright": (180.0, 30)}


def test_the_nearest_centroid_is_the_speaker() -> None:
    centroids = find_centroids(
        {
            name: [vector(voice(hz, brightness=count, noise_seed=seed)) for seed in range(6)]
            for name, (hz, count) in SPEAKERS.items()
        }
    )
    for name, (hz, count) in SPEAKERS.items():
        for seed in range(10, 14):
            wave = voice(hz, brightness=count, noise_seed=seed)
            assert centroids.nearest(vector(wave)) == name
            assert centroids.nearest(vector(0.3 * wave)) == name, "the level does not matter"
            padded = join(silence(0.3), wave, silence(0.3))
            assert centroids.nearest(vector(padded)) == name, "nor does silence"


def test_silence_has_no_timbre() -> None:
    assert mel_statistics(silence(0.5), RATE) is None
    assert mel_statistics(silence(0.001), RATE) is None

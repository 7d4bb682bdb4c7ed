"""Who speaks: mel statistics of a recording, and the nearest of the speakers' centroids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from training.evaluate.loudness import ACTIVE_DB, LOUDEST_SHARE, Wave

NUM_BANDS = 40
WINDOW_SEC, HOP_SEC = 0.032, 0.016
MAX_HZ = 8000.0
FLOOR = 1e-7

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Centroids:
    """The mean vector of each speaker, and the spread of each dimension within the speakers."""

    by_speaker: Mapping[str, Vector]
    spread: Vector

    def nearest(self, vector: Vector) -> str:
        """Returns the speaker whose centroid is nearest, in units of the spread."""
        return min(self.by_speaker, key=lambda name: self._distance(vector, name))

    def _distance(self, vector: Vector, name: str) -> float:
        return float(np.sum(((vector - self.by_speaker[name]) / self.spread) ** 2))


def find_centroids(vectors: Mapping[str, Sequence[Vector]]) -> Centroids:
    """Returns the centroids of speakers, each with at least one vector."""
    means = {name: np.mean(each, axis=0) for name, each in vectors.items()}
    deviations = np.concatenate([np.array(each) - means[name] for name, each in vectors.items()])
    return Centroids(means, np.sqrt(np.mean(deviations**2, axis=0)) + 1e-3)


def mel_statistics(wave: Wave, sample_rate: int) -> Vector | None:
    """Returns mean and deviation of each log mel band over the frames of speech.

    The mean over all bands is taken out, so that the level does not matter. None for silence.
    """
    mels = log_mels(wave, sample_rate)
    if not mels.size:
        return None
    loudness = np.exp(mels).sum(axis=1)
    loudest = np.quantile(loudness, LOUDEST_SHARE)
    speech = mels[loudness > loudest * 10 ** (ACTIVE_DB / 10)]
    if loudest <= 2 * NUM_BANDS * FLOOR or len(speech) < 5:
        return None
    mean = speech.mean(axis=0)
    return np.asarray(np.concatenate([mean - mean.mean(), speech.std(axis=0)]))


def log_mels(wave: Wave, sample_rate: int) -> npt.NDArray[np.float64]:
    """Returns log powers [frames, bands]."""
    window, hop = round(WINDOW_SEC * sample_rate), round(HOP_SEC * sample_rate)
    if wave.size < window:
        return np.zeros((0, NUM_BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2 / window
    return np.asarray(np.log(power @ _filters(window, sample_rate) + FLOOR))


@cache
def _filters(window: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Returns triangular filters, evenly spaced on the mel scale: [window // 2 + 1, bands]."""
    top = 2595 * np.log10(1 + MAX_HZ / 700)
    edges = 700 * (10 ** (np.linspace(0, top, NUM_BANDS + 2) / 2595) - 1)
    hz = np.fft.rfftfreq(window, 1 / sample_rate)[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))

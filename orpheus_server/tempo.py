"""Pace without pitch: ffmpeg's `atempo` filter through PyAV, fed piece by piece."""

from collections.abc import Iterator

import av
import numpy as np
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as EndOfStream
from av.filter import Graph

from orpheus_server.audio import Samples, empty

_MIN_FACTOR = 0.5
"""The filter's own lower limit (ffmpeg documentation, `atempo`); slower is two filters in a row."""


class TempoFilter:
    """Samples in, samples at `speed` times the pace out; `flush` gives the rest."""

    def __init__(self, *, speed: float, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._num_fed = 0
        self._graph = Graph()
        source = self._graph.add_abuffer(
            format="flt", sample_rate=sample_rate, layout="mono", time_base=None
        )
        nodes = [source]
        nodes += [self._graph.add("atempo", str(factor)) for factor in tempo_factors(speed)]
        nodes.append(self._graph.add("abuffersink"))
        self._graph.link_nodes(*nodes).configure()

    def feed(self, samples: Samples) -> Samples:
        """What the filter gives for these samples so far."""
        if samples.size:
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
            frame.sample_rate = self._sample_rate
            frame.pts = self._num_fed
            self._num_fed += samples.size
            self._graph.push(frame)
        return self._pull()

    def flush(self) -> Samples:
        """The samples that the filter still held; it takes none after that."""
        if not self._num_fed:
            return empty()
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> Samples:
        return np.concatenate([empty(), *self._frames()])

    def _frames(self) -> Iterator[Samples]:
        while True:
            try:
                frame = self._graph.pull()
            except (NothingYet, EndOfStream):
                return
            yield frame.to_ndarray().reshape(-1).astype(np.float32)


def tempo_factors(speed: float) -> list[float]:
    """Factors of filters in a row whose product is `speed`, each of them allowed."""
    factors = []
    while speed < _MIN_FACTOR:
        factors.append(_MIN_FACTOR)
        speed /= _MIN_FACTOR
    return [*factors, speed]


def change_tempo(samples: Samples, *, speed: float, sample_rate: int) -> Samples:
    """All samples at once at `speed` times the pace."""
    if speed == 1.0:
        return samples
    tempo = TempoFilter(speed=speed, sample_rate=sample_rate)
    return np.concatenate([tempo.feed(samples), tempo.flush()])

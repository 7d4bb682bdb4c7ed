"""Changes tempo but not pitch, incrementally: ffmpeg's `atempo` filter through PyAV."""

from collections.abc import Iterator

import av
import numpy as np
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as EndOfStream
from av.filter import Graph

from orpheus_server.audio.samples import empty
from orpheus_server.interfaces import Samples

_MIN_FACTOR = 0.5
"""The filter's own lower limit (ffmpeg documentation, `atempo`); slower speeds need two filters in
a row."""


_BLOCK_SAMPLES = 1024
"""The filter always gets blocks of this size. Its cuts depend on the block size, so other blocks of
the same samples would sound different; and it fails on a block that becomes less than one
sample."""

_PAD_BLOCKS = 4
"""Zeros after the last sample, because the filter holds back up to a few windows of 43 ms."""


class TempoFilter:
    """Turns samples into samples at `speed` times the tempo; `flush` returns the rest."""

    def __init__(self, *, speed: float, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._speed = speed
        self._waiting = empty()
        self._num_pushed = 0
        self._num_released = 0
        self._graph = Graph()
        # Otherwise each filter would start a thread per core.
        self._graph.threads = 1
        source = self._graph.add_abuffer(
            format="flt", sample_rate=sample_rate, layout="mono", time_base=None
        )
        nodes = [source]
        nodes += [self._graph.add("atempo", str(factor)) for factor in tempo_factors(speed)]
        nodes.append(self._graph.add("abuffersink"))
        self._graph.link_nodes(*nodes).configure()

    def feed(self, samples: Samples) -> Samples:
        """Returns the samples that the filter has finished."""
        samples = np.concatenate([self._waiting, samples])
        end = samples.size - samples.size % _BLOCK_SAMPLES
        out = [empty()]
        for start in range(0, end, _BLOCK_SAMPLES):
            self._push(samples[start : start + _BLOCK_SAMPLES])
            out += self._pull()
        self._waiting = samples[end:]
        released = np.concatenate(out)
        self._num_released += released.size
        return released

    def flush(self) -> Samples:
        """Returns the samples that the filter still holds; it accepts none after that.

        The total length of the output is that of the input divided by the speed, to the sample.
        """
        num_fed = self._num_pushed + self._waiting.size
        num_left = max(0, round(num_fed / self._speed) - self._num_released)
        padding = np.zeros((_PAD_BLOCKS + 1) * _BLOCK_SAMPLES, dtype=np.float32)
        rest = self.feed(padding[self._waiting.size :])
        self._graph.push(None)
        held: Samples = np.concatenate([rest, *self._pull()])
        return held[:num_left]

    def _push(self, block: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="flt", layout="mono")
        frame.sample_rate = self._sample_rate
        frame.pts = self._num_pushed
        self._num_pushed += block.size
        self._graph.push(frame)

    def _pull(self) -> Iterator[Samples]:
        while True:
            try:
                frame = self._graph.pull()
            except (NothingYet, EndOfStream):
                return
            yield frame.to_ndarray().reshape(-1).astype(np.float32)


def tempo_factors(speed: float) -> list[float]:
    """Returns factors for filters in a row, each allowed, whose product is `speed`."""
    factors = []
    while speed < _MIN_FACTOR:
        factors.append(_MIN_FACTOR)
        speed /= _MIN_FACTOR
    return [*factors, speed]

"""Divides an utterance's frames into windows, depending on the frames' indices alone.

If the windows depended on timing, the last bits of the samples would too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from orpheus_server.audio.snac.cropped import WindowShape
from orpheus_server.interfaces import Frame

Codes = npt.NDArray[np.int64]

HOPS = (1, 2, 4)
_NUM_SMALL_HOPS, _NUM_MIDDLE_HOPS = 8, 16
"""The number of windows of one frame, then of two, before those of four. With fewer, a player
without a buffer runs dry at each step up when speech is generated in 0.9 of real time, because its
buffer grows by only a tenth of what it plays. With more, decoding costs up to 1.4 times the work of
windows of four."""

NO_END = 1 << 40
"""The end frame of an utterance whose end is not known yet: more frames than any has."""


def hops() -> Iterator[int]:
    """Yields the number of frames of each window in turn."""
    return chain(repeat(1, _NUM_SMALL_HOPS), repeat(2, _NUM_MIDDLE_HOPS), repeat(4))


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One row of a decode call.

    `codes` [frames, slots] begin at frame `first_frame`, which may be negative, of an utterance
    with `end_frame` frames. The window needs only the decoded samples from `skip` to `stop`; the
    first of these is sample `start` of the utterance.
    """

    hop: int
    codes: Codes
    first_frame: int
    end_frame: int
    skip: int
    stop: int
    start: int

    @property
    def is_edge(self) -> bool:
        """True if it extends over either end of the utterance."""
        return self.first_frame < 0 or self.first_frame + len(self.codes) > self.end_frame


class WindowCutter:
    """Cuts the frames of one utterance into windows, each as soon as its samples are certain.

    The first window is cut after `first_frames` frames. If that is too few for an exact decode, it
    is decoded as if the utterance ended there; later windows are exact.
    """

    def __init__(
        self,
        shapes: Mapping[int, WindowShape],
        *,
        samples_per_frame: int,
        first_frames: int,
    ) -> None:
        self._shapes = shapes
        self._samples_per_frame = samples_per_frame
        self._frames: list[Frame] = []
        self._hops = hops()
        self._hop = next(self._hops)
        shape = shapes[self._hop]
        lag = shape.num_frames * samples_per_frame - shape.samples.end
        # The smallest number of frames after which at least one sample is exact.
        self._due = lag // samples_per_frame + 1
        self._early = first_frames if first_frames < self._due else None

    def feed(self, frames: Sequence[Frame]) -> list[Window]:
        """Returns the windows that these frames complete."""
        self._frames += frames
        windows = []
        if self._early is not None and len(self._frames) >= self._early:
            windows.append(self._cut(end_frame=self._early))
            self._early = None
        while len(self._frames) >= self._due and self._early is None:
            windows.append(self._cut(end_frame=NO_END))
        return windows

    def flush(self) -> list[Window]:
        """Returns the windows of the remaining samples, now that the end is known."""
        windows: list[Window] = []
        while self._frames and self._start < len(self._frames) * self._samples_per_frame:
            windows.append(self._cut(end_frame=len(self._frames)))
        return windows

    @property
    def _start(self) -> int:
        """The first sample of the next window; negative before the first one."""
        shape = self._shapes[self._hop]
        return (self._due - shape.num_frames) * self._samples_per_frame + shape.samples.start

    def _cut(self, *, end_frame: int) -> Window:
        shape, hop, start = self._shapes[self._hop], self._hop, self._start
        first = self._due - shape.num_frames
        known = self._frames[max(0, first) : min(self._due, end_frame)]
        codes = np.zeros((shape.num_frames, len(self._frames[0])), dtype=np.int64)
        offset = max(0, -first)
        codes[offset : offset + len(known)] = known
        skip = max(0, -start)
        stop = min(shape.samples.length, end_frame * self._samples_per_frame - start)
        self._hop = next(self._hops)
        self._due += self._hop
        return Window(hop, codes, first, end_frame, skip, stop, start + skip)

"""The sound of one attempt while it is made: frames to samples that are fit to be heard."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from orpheus_server.audio import SILENCE_PEAK, Samples, empty
from orpheus_server.errors import GenerationFailed
from orpheus_server.frames import Frame
from orpheus_server.guard import Fault, Verdict
from orpheus_server.interfaces import UtteranceDecoder
from orpheus_server.seams import SeamFilter
from orpheus_server.workers import WorkerPool

Give = Callable[[Samples], None]
"""Takes samples in their order; never none of them."""


class Voicing:
    """Decodes, checks and smooths one utterance, and gives its samples away as they come."""

    def __init__(
        self, utterance: UtteranceDecoder, pool: WorkerPool, give: Give, *, sample_rate: int
    ) -> None:
        self._utterance = utterance
        self._pool = pool
        self._give = give
        self._seam = SeamFilter(sample_rate=sample_rate)
        self._peak = 0.0
        self.num_frames = 0

    async def feed(self, frames: Sequence[Frame]) -> Verdict | None:
        """Gives what these frames make certain; what is wrong with it, or None."""
        self.num_frames += len(frames)
        try:
            return self._pass_on(await self._utterance.feed(frames, self._smooth))
        except GenerationFailed as error:
            return Verdict(Fault.DECODE_ERROR, 0, str(error))

    async def flush(self) -> Verdict | None:
        """Gives the rest; silence all through is a fault, and none of it was given."""
        try:
            verdict = self._pass_on(await self._utterance.flush(self._smooth))
        except GenerationFailed as error:
            return Verdict(Fault.DECODE_ERROR, 0, str(error))
        if verdict is None and self._peak < SILENCE_PEAK:
            verdict = Verdict(Fault.SILENT, 0, f"{self.num_frames} frames of silence")
        if verdict is None:
            await self.cut()
        return verdict

    async def cut(self) -> None:
        """Ends with what was decoded, faded out."""
        self._give_any(await self._pool.run(self._seam.flush))

    def _pass_on(self, samples: Samples) -> Verdict | None:
        if not math.isfinite(self._peak):
            return Verdict(Fault.NOT_FINITE, 0, "samples are not finite")
        self._give_any(samples)
        return None

    def _smooth(self, samples: Samples) -> Samples:
        """Runs where the samples were decoded."""
        # NaN stays NaN, whatever comes after; to the built-in `max` it may be the smaller one.
        self._peak = float(np.maximum(self._peak, np.abs(samples).max(initial=0.0)))
        return self._seam.feed(samples) if math.isfinite(self._peak) else empty()

    def _give_any(self, samples: Samples) -> None:
        if samples.size:
            self._give(samples)

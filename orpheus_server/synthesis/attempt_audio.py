"""The sound of one attempt while it is made: frames to samples that are fit to be heard."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_server.audio.crossfade import CROSS_FADE_SEC, CrossFade
from orpheus_server.audio.samples import SILENCE_PEAK, empty
from orpheus_server.audio.trimming import EdgeTrimmer
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import Frame, Samples, UtteranceDecoder
from orpheus_server.synthesis.guard import Fault, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Splice:
    """What a new attempt takes over: `frames`, and what was made of their sound already.

    `decoded` are samples as the codec gave them for the first `num_decoded_frames`, `marks` tell
    for each piece up to which sample of the smoothed sound it went, and how many frames it took.
    Of the smoothed sound the first `num_heard` are not given again, and `num_foreign` more samples
    were heard that are no part of it. `tail` is what would have followed them.
    """

    frames: Sequence[Frame]
    decoded: Samples
    num_decoded_frames: int
    marks: Sequence[tuple[int, int]]
    num_heard: int
    num_foreign: int
    tail: Samples


Give = Callable[[Samples], None]
"""Takes samples in their order; never none of them."""


class Voicing:
    """Decodes, checks and smooths one utterance, and gives its samples away as they come.

    It keeps what was decoded, so that another one can go on from any of its frames.
    """

    def __init__(
        self,
        utterance: UtteranceDecoder,
        pool: WorkerPool,
        give: Give,
        *,
        sample_rate: int,
        samples_per_frame: int,
        splice: Splice | None = None,
    ) -> None:
        self._utterance = utterance
        self._pool = pool
        self._give = give
        self._sample_rate = sample_rate
        self._samples_per_frame = samples_per_frame
        self._splice = splice
        self._seam = EdgeTrimmer(sample_rate=sample_rate)
        self._joint = CrossFade(splice.num_heard, splice.tail) if splice else None
        self._peak = 0.0
        self._decoded: list[Samples] = []
        self._num_decoded_frames = 0
        self._num_smoothed = 0
        self._marks: list[tuple[int, int]] = []
        self.num_frames = 0

    async def resume(self) -> Verdict | None:
        """Gives what follows of the sound of the frames that were taken over."""
        splice = self._splice
        if splice is None:
            return None
        known = splice.frames[: splice.num_decoded_frames]
        samples = splice.decoded[: self._utterance.skip(known)]
        self.num_frames = len(known)
        self._marks += splice.marks
        verdict = self._pass_on(await self._pool.run(self._smooth, samples))
        rest = splice.frames[len(known) :]
        return verdict or (await self.feed(rest) if rest else None)

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
        self._give_any(await self._pool.run(self._end))

    def has_been_heard_beyond(self, num_frames: int, *, num_taken: int) -> bool:
        """Tell whether so many samples are more than those of the first frames."""
        return self._to_own(num_taken) > self._num_own(num_frames)

    def num_frames_behind(self, num_taken: int) -> int:
        """The number of frames that so many samples, which were given, were made of."""
        num_own = self._to_own(num_taken)
        behind = (num_frames for end, num_frames in self._marks if end >= num_own)
        # No mark goes so far if an attempt took over behind what was heard and made nothing more.
        return next(behind, self.num_frames)

    @property
    def num_decoded_frames(self) -> int:
        """Frames that something was heard of, or may be."""
        return self._num_decoded_frames

    def splice(self, frames: Sequence[Frame], *, num_taken: int, untaken: Samples) -> Splice:
        """For a voicing that goes on behind these frames, which are the first of this one.

        Of what was given `num_taken` samples were heard; `untaken` are the rest.
        """
        num_heard = min(self._to_own(num_taken), self._num_own(len(frames)))
        tail = np.concatenate([untaken, self._seam.held])[: int(CROSS_FADE_SEC * self._sample_rate)]
        return Splice(
            frames=frames,
            decoded=np.concatenate([empty(), *self._decoded]),
            num_decoded_frames=self._num_decoded_frames,
            marks=[mark for mark in self._marks if mark[1] <= len(frames)],
            num_heard=num_heard,
            num_foreign=num_taken - num_heard,
            tail=tail,
        )

    def _to_own(self, num_taken: int) -> int:
        """The part of what was heard that is of this voicing's own sound."""
        return num_taken - (self._splice.num_foreign if self._splice else 0)

    def _num_own(self, num_frames: int) -> int:
        """Smoothed samples that lie within the first frames."""
        return max(0, num_frames * self._samples_per_frame - self._seam.num_lead)

    def _pass_on(self, samples: Samples) -> Verdict | None:
        if not math.isfinite(self._peak):
            return Verdict(Fault.NOT_FINITE, 0, "samples are not finite")
        self._num_decoded_frames = self.num_frames
        self._marks.append((self._num_smoothed, self.num_frames))
        self._give_any(samples)
        return None

    def _smooth(self, samples: Samples) -> Samples:
        """Runs where the samples were decoded."""
        # NaN stays NaN, whatever comes after; to the built-in `max` it may be the smaller one.
        self._peak = float(np.maximum(self._peak, np.abs(samples).max(initial=0.0)))
        if not math.isfinite(self._peak):
            return empty()
        # A copy: they are a row of a call that decoded others too.
        self._decoded.append(samples.copy())
        smooth = self._seam.feed(samples)
        self._num_smoothed += smooth.size
        return self._joint.feed(smooth) if self._joint else smooth

    def _end(self) -> Samples:
        rest = self._seam.flush()
        return (
            np.concatenate([self._joint.feed(rest), self._joint.flush()]) if self._joint else rest
        )

    def _give_any(self, samples: Samples) -> None:
        if samples.size:
            self._give(samples)

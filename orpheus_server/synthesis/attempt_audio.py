"""The sound of one attempt while it is made, fit to be heard, and where another goes on from it."""

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
class ResumePoint:
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


SampleSink = Callable[[Samples], None]
"""Takes samples in their order; never none of them."""


class AttemptAudio:
    """Decodes, checks and smooths one utterance, and gives its samples away as they come.

    It keeps what was decoded, so that another one can go on from any of its frames.
    """

    def __init__(
        self,
        utterance: UtteranceDecoder,
        pool: WorkerPool,
        sink: SampleSink,
        *,
        sample_rate: int,
        samples_per_frame: int,
        resume_point: ResumePoint | None = None,
    ) -> None:
        self._utterance = utterance
        self._pool = pool
        self._sink = sink
        self._sample_rate = sample_rate
        self._samples_per_frame = samples_per_frame
        self._resume_point = resume_point
        self._trimmer = EdgeTrimmer(sample_rate=sample_rate)
        self._cross_fade = (
            CrossFade(resume_point.num_heard, resume_point.tail) if resume_point else None
        )
        self._peak = 0.0
        self._decoded: list[Samples] = []
        self._num_decoded_frames = 0
        self._num_smoothed = 0
        self._marks: list[tuple[int, int]] = []
        self.num_frames = 0

    async def resume(self) -> Verdict | None:
        """Gives what follows of the sound of the frames that were taken over."""
        resume_point = self._resume_point
        if resume_point is None:
            return None
        known = resume_point.frames[: resume_point.num_decoded_frames]
        samples = resume_point.decoded[: self._utterance.skip(known)]
        self.num_frames = len(known)
        self._marks += resume_point.marks
        verdict = self._pass_on(await self._pool.run(self._smooth, samples))
        rest = resume_point.frames[len(known) :]
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
        self._emit(await self._pool.run(self._end))

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

    def resume_point_after(
        self, frames: Sequence[Frame], *, num_taken: int, untaken: Samples
    ) -> ResumePoint:
        """For an attempt that goes on after these frames, which are the first of this one.

        Of what was given `num_taken` samples were heard; `untaken` are the rest.
        """
        num_heard = min(self._to_own(num_taken), self._num_own(len(frames)))
        tail = np.concatenate([untaken, self._trimmer.held])[
            : int(CROSS_FADE_SEC * self._sample_rate)
        ]
        return ResumePoint(
            frames=frames,
            decoded=np.concatenate([empty(), *self._decoded]),
            num_decoded_frames=self._num_decoded_frames,
            marks=[mark for mark in self._marks if mark[1] <= len(frames)],
            num_heard=num_heard,
            num_foreign=num_taken - num_heard,
            tail=tail,
        )

    def _to_own(self, num_taken: int) -> int:
        """The part of what was heard that is of this attempt's own sound."""
        return num_taken - (self._resume_point.num_foreign if self._resume_point else 0)

    def _num_own(self, num_frames: int) -> int:
        """Smoothed samples that lie within the first frames."""
        return max(0, num_frames * self._samples_per_frame - self._trimmer.num_lead)

    def _pass_on(self, samples: Samples) -> Verdict | None:
        if not math.isfinite(self._peak):
            return Verdict(Fault.NOT_FINITE, 0, "samples are not finite")
        self._num_decoded_frames = self.num_frames
        self._marks.append((self._num_smoothed, self.num_frames))
        self._emit(samples)
        return None

    def _smooth(self, samples: Samples) -> Samples:
        """Runs where the samples were decoded."""
        # NaN stays NaN, whatever comes after; to the built-in `max` it may be the smaller one.
        self._peak = float(np.maximum(self._peak, np.abs(samples).max(initial=0.0)))
        if not math.isfinite(self._peak):
            return empty()
        # A copy: they are a row of a call that decoded others too.
        self._decoded.append(samples.copy())
        smooth = self._trimmer.feed(samples)
        self._num_smoothed += smooth.size
        return self._cross_fade.feed(smooth) if self._cross_fade else smooth

    def _end(self) -> Samples:
        rest = self._trimmer.flush()
        return (
            np.concatenate([self._cross_fade.feed(rest), self._cross_fade.flush()])
            if self._cross_fade
            else rest
        )

    def _emit(self, samples: Samples) -> None:
        if samples.size:
            self._sink(samples)

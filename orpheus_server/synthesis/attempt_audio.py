"""Decodes and smooths the audio of one attempt, and records where another can resume."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_server.audio.crossfade import CROSS_FADE_SEC, CrossFade
from orpheus_server.audio.samples import SILENCE_PEAK, empty
from orpheus_server.audio.trimming import SENTENCE_TAIL, EdgeTrimmer, Tail
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import Frame, Samples, UtteranceDecoder
from orpheus_server.synthesis.guard import Fault, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class ResumePoint:
    """The state that a new attempt takes over: `frames`, and the audio that exists for them.

    `decoded` are the codec's samples of the first `num_decoded_frames`. `marks` holds, for each
    piece that was emitted, its end in the smoothed audio and the number of frames used. The first
    `num_heard` smoothed samples are not emitted again; `num_foreign` further samples were heard
    that are not part of them. `tail` is the audio that would have followed.
    """

    frames: Sequence[Frame]
    decoded: Samples
    num_decoded_frames: int
    marks: Sequence[tuple[int, int]]
    num_heard: int
    num_foreign: int
    tail: Samples


SampleSink = Callable[[Samples], None]
"""Accepts samples in order; a call never has zero samples."""


class AttemptAudio:
    """Decodes, checks and smooths one attempt, and emits its samples.

    It keeps what was decoded, so that another attempt can resume after any of its frames.
    """

    def __init__(
        self,
        utterance: UtteranceDecoder,
        pool: WorkerPool,
        sink: SampleSink,
        *,
        sample_rate: int,
        samples_per_frame: int,
        tail: Tail = SENTENCE_TAIL,
        resume_point: ResumePoint | None = None,
    ) -> None:
        self._utterance = utterance
        self._pool = pool
        self._sink = sink
        self._sample_rate = sample_rate
        self._samples_per_frame = samples_per_frame
        self._resume_point = resume_point
        self._trimmer = EdgeTrimmer(sample_rate=sample_rate, tail=tail)
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
        """Emits the audio of the resumed frames that has not been heard."""
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
        """Decodes frames and emits their audio. Returns a fault, or None."""
        self.num_frames += len(frames)
        try:
            return self._pass_on(await self._utterance.feed(frames, self._smooth))
        except GenerationFailed as error:
            return Verdict(Fault.DECODE_ERROR, 0, str(error))

    async def flush(self) -> Verdict | None:
        """Emits the rest. Silence throughout is a fault, and none of it has been emitted."""
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
        """Emits the rest of what was decoded, faded out."""
        self._emit(await self._pool.run(self._end))

    def has_been_heard_beyond(self, num_frames: int, *, num_taken: int) -> bool:
        """Returns whether `num_taken` samples reach beyond the first `num_frames` frames."""
        return self._to_own(num_taken) > self._num_own(num_frames)

    def num_frames_heard(self, num_taken: int) -> int:
        """Returns how many frames the first `num_taken` emitted samples were made of."""
        num_own = self._to_own(num_taken)
        heard = (num_frames for end, num_frames in self._marks if end >= num_own)
        # No mark reaches that far if a resumed attempt emitted nothing more.
        return next(heard, self.num_frames)

    @property
    def num_decoded_frames(self) -> int:
        """Number of frames whose audio was or may have been heard."""
        return self._num_decoded_frames

    def resume_point_after(
        self, frames: Sequence[Frame], *, num_taken: int, untaken: Samples
    ) -> ResumePoint:
        """Returns where an attempt can resume after `frames`, which are the first of this one.

        Of the emitted samples `num_taken` were heard; `untaken` are the rest.
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
        """Converts a number of heard samples to samples of this attempt."""
        return num_taken - (self._resume_point.num_foreign if self._resume_point else 0)

    def _num_own(self, num_frames: int) -> int:
        """Returns the number of smoothed samples within the first frames."""
        return max(0, num_frames * self._samples_per_frame - self._trimmer.num_lead)

    def _pass_on(self, samples: Samples) -> Verdict | None:
        if not math.isfinite(self._peak):
            return Verdict(Fault.NOT_FINITE, 0, "samples are not finite")
        self._num_decoded_frames = self.num_frames
        self._marks.append((self._num_smoothed, self.num_frames))
        self._emit(samples)
        return None

    def _smooth(self, samples: Samples) -> Samples:
        """Checks and smooths samples; runs in the thread that decoded them."""
        # NumPy propagates NaN; the built-in `max` may not.
        self._peak = float(np.maximum(self._peak, np.abs(samples).max(initial=0.0)))
        if not math.isfinite(self._peak):
            return empty()
        # A copy, because the samples are a view of a batch.
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

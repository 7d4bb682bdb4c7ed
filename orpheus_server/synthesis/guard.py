"""Detects faults in the frames of one generation; what to do about them is decided elsewhere.

All thresholds are in frames of 85 ms. If they are too low, natural pauses and drawn-out vowels
cause retries; if too high, the listener waits for an attempt that has already failed.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from orpheus_server.checkpoints.checkpoint import ShortestSpeech
from orpheus_server.interfaces import Frame


class Fault(StrEnum):
    """Why an attempt at a chunk is not good enough."""

    LOOP = "loop"
    STALL = "stall"
    RUNAWAY = "runaway"
    TOO_SHORT = "too_short"
    TOKEN_LIMIT = "token_limit"
    BAD_TOKENS = "bad_tokens"
    DECODE_ERROR = "decode_error"
    NOT_FINITE = "not_finite"
    SILENT = "silent"
    ENGINE_ERROR = "engine_error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fault and its details; the first `num_good_frames` frames are usable."""

    fault: Fault
    num_good_frames: int
    detail: str


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """The expected, shortest and longest acceptable length of a text, in frames."""

    expected: float
    shortest: float
    longest: float


LONGEST_SHARE = 2.5
"""Above this share, the end is hallucinated: slow, dramatic speech is at 1.8."""

LONGEST_EXTRA_SEC = 3.0
"""Added to the longest time, because pauses weigh most in short texts."""


def limits_of(expected_sec: float, frame_sec: float, shortest: ShortestSpeech) -> LengthLimits:
    """Returns the limits for a text that is expected to last `expected_sec`."""
    expected = expected_sec / frame_sec
    return LengthLimits(
        expected=expected,
        shortest=max(1.0, shortest.share * expected + shortest.sec / frame_sec),
        longest=LONGEST_SHARE * expected + LONGEST_EXTRA_SEC / frame_sec,
    )


MAX_LOOP_PERIOD = 10
MIN_LOOP_FRAMES = 12
MIN_LOOP_REPEATS = 3
STALL_FRAMES = 18
STALL_SHARE = 0.8


class Guard:
    """Incremental detectors over the frames of one attempt.

    `feed` costs a handful of comparisons per frame: for every period up to ten it counts how many
    frames in a row equal the frame one period before.
    """

    def __init__(self, limits: LengthLimits) -> None:
        self._limits = limits
        self._recent: deque[Frame] = deque(maxlen=MAX_LOOP_PERIOD)
        self._num_equal = [0] * (MAX_LOOP_PERIOD + 1)
        self._same_codes: deque[int] = deque(maxlen=STALL_FRAMES)
        self._num_frames = 0

    def feed(self, frame: Frame) -> Verdict | None:
        """Returns the fault that this frame completes, or None."""
        self._num_frames += 1
        period = self._count_repeats(frame)
        verdict = None
        if period:
            num_good = self._num_frames - self._num_equal[period]
            detail = f"period {period} frames, {self._num_equal[period] // period + 1} times"
            verdict = Verdict(Fault.LOOP, num_good, detail)
        elif self._is_stalled(frame):
            num_good = self._num_frames - STALL_FRAMES
            share = sum(self._same_codes) / (len(frame) * STALL_FRAMES)
            verdict = Verdict(Fault.STALL, num_good, f"{share:.0%} of codes unchanged")
        elif self._num_frames > self._limits.longest:
            num_good = int(self._limits.longest)
            detail = f"{self._num_frames} frames for an expected {self._limits.expected:.0f}"
            verdict = Verdict(Fault.RUNAWAY, num_good, detail)
        self._recent.append(frame)
        return verdict

    def finish(self, *, hit_token_limit: bool) -> Verdict | None:
        """Returns the fault of a finished attempt (no stop token, or too short), or None."""
        if hit_token_limit:
            detail = f"no stop after {self._num_frames} frames"
            return Verdict(Fault.TOKEN_LIMIT, self._num_frames, detail)
        if self._num_frames < self._limits.shortest:
            detail = f"{self._num_frames} frames for an expected {self._limits.expected:.0f}"
            return Verdict(Fault.TOO_SHORT, self._num_frames, detail)
        return None

    def _count_repeats(self, frame: Frame) -> int:
        """Returns the shortest period that has repeated long enough to be a loop, or 0."""
        if frame not in self._recent:
            # Good speech never repeats a frame, so this is the usual cost of the detector.
            if any(self._num_equal):
                self._num_equal = [0] * (MAX_LOOP_PERIOD + 1)
            return 0
        found = 0
        for period in range(1, len(self._recent) + 1):
            if self._recent[-period] == frame:
                self._num_equal[period] += 1
            else:
                self._num_equal[period] = 0
            repeated = self._num_equal[period] + period
            needed = max(MIN_LOOP_FRAMES, MIN_LOOP_REPEATS * period)
            if not found and repeated >= needed:
                found = period
        return found

    def _is_stalled(self, frame: Frame) -> bool:
        previous = self._recent[-1] if self._recent else ()
        same = sum(a == b for a, b in zip(previous, frame, strict=False))
        self._same_codes.append(same)
        enough = len(self._same_codes) == STALL_FRAMES
        return enough and sum(self._same_codes) >= STALL_SHARE * len(frame) * STALL_FRAMES

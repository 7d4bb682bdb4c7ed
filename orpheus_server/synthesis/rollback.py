"""Decides from which frame a chunk resumes after a fault when part of it has been heard."""

import math

from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.attempt import Attempt
from orpheus_server.synthesis.attempt_audio import ResumePoint
from orpheus_server.synthesis.guard import Fault

STEP_BACK_FRAMES = 6
"""Each further rollback goes back half a second more, because the same frames may loop again."""

SLOW_SHARE = 1.8
"""Slow, dramatic speech takes this multiple of the expected time; longer speech is invented."""

MIN_FRAMES_LEFT = 12
"""With fewer frames left to the longest time, the next attempt would be a runaway again."""


def is_flaw_heard(attempt: Attempt, *, num_taken: int) -> bool:
    """Returns whether the listener has heard frames of a loop, stall or runaway."""
    verdict, audio = attempt.verdict, attempt.audio
    if verdict is None or audio is None:
        return False
    match verdict.fault:
        case Fault.LOOP | Fault.STALL:
            num_good = verdict.num_good_frames
        case Fault.RUNAWAY:
            num_good = min(verdict.num_good_frames, math.ceil(SLOW_SHARE * attempt.expected_frames))
        case _:
            return False
    return audio.has_been_heard_beyond(num_good, num_taken=num_taken)


def roll_back(
    attempt: Attempt, *, num_taken: int, untaken: Samples, num_before: int
) -> ResumePoint | None:
    """Returns the frames that the next attempt keeps, or None if it cannot resume.

    `num_before` is the number of earlier rollbacks of the chunk.
    """
    num_kept = _num_kept(attempt, num_taken, num_before)
    if num_kept is None:
        return None
    return _resume_point_of(attempt, num_kept, num_taken, untaken)


def cut_off(attempt: Attempt, *, num_taken: int, untaken: Samples) -> ResumePoint:
    """Returns the good frames of a last attempt."""
    verdict, audio = attempt.verdict, attempt.audio
    assert verdict is not None
    assert audio is not None
    match verdict.fault:
        case Fault.ENGINE_ERROR:
            num_good = len(attempt.frames)
        case Fault.BAD_TOKENS | Fault.NOT_FINITE | Fault.DECODE_ERROR:
            # It is unknown which frames are bad, and some have been heard.
            num_good = audio.num_decoded_frames
        case _:
            num_good = verdict.num_good_frames
    return _resume_point_of(attempt, num_good, num_taken, untaken)


def _num_kept(attempt: Attempt, num_taken: int, num_before: int) -> int | None:
    verdict, audio = attempt.verdict, attempt.audio
    assert verdict is not None
    assert audio is not None
    num_good, num_heard = verdict.num_good_frames, audio.num_frames_heard(num_taken)
    match verdict.fault:
        case Fault.LOOP | Fault.STALL:
            # Not before what was heard, unless that includes the fault: then the model continues
            # from the good frames, and new audio follows what was heard.
            return min(num_good, max(num_heard, num_good - num_before * STEP_BACK_FRAMES))
        case Fault.RUNAWAY:
            # It left the text at an unknown frame, so it restarts as early as possible.
            return num_heard if num_heard + MIN_FRAMES_LEFT <= num_good else None
        case Fault.TOO_SHORT | Fault.NOT_FINITE | Fault.DECODE_ERROR:
            # The end was wrong, or the codec failed on these frames; other frames may be right.
            return num_heard
        case Fault.ENGINE_ERROR:
            # The speech itself is good.
            return len(attempt.frames)
        case Fault.TOKEN_LIMIT | Fault.BAD_TOKENS | Fault.SILENT:
            # No tokens are left; or no frame is known to be good, and the model would continue from
            # noise; or it was silence, which is never heard before it is detected.
            return None


def _resume_point_of(
    attempt: Attempt, num_frames: int, num_taken: int, untaken: Samples
) -> ResumePoint:
    assert attempt.audio is not None
    return attempt.audio.resume_point_after(
        attempt.frames[:num_frames], num_taken=num_taken, untaken=untaken
    )

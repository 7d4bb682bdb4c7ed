"""From which frame a chunk goes on after a fault that came when some of it had been heard."""

import math

from orpheus_server.interfaces import Samples
from orpheus_server.synthesis.attempt import Attempt
from orpheus_server.synthesis.attempt_audio import ResumePoint
from orpheus_server.synthesis.guard import Fault

STEP_BACK_FRAMES = 6
"""Half a second earlier with every rollback: what led into a loop may do so again."""

SLOW_SHARE = 1.8
"""Slow, dramatic speech takes so many times what is expected; what goes on longer is made up."""

MIN_FRAMES_LEFT = 12
"""Fewer left to the longest time, and the next attempt at the end is a runaway as well."""


def is_flaw_heard(attempt: Attempt, *, num_taken: int) -> bool:
    """Tell whether the listener heard frames of a loop, a stall or a runaway."""
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
    """The frames that the next attempt keeps; None where there is nothing to go on from.

    `num_before` rollbacks of the chunk were made before this one.
    """
    num_kept = _num_kept(attempt, num_taken, num_before)
    if num_kept is None:
        return None
    return _resume_point_of(attempt, num_kept, num_taken, untaken)


def cut_off(attempt: Attempt, *, num_taken: int, untaken: Samples) -> ResumePoint:
    """The good frames of an attempt that nothing comes after."""
    verdict, audio = attempt.verdict, attempt.audio
    assert verdict is not None
    assert audio is not None
    match verdict.fault:
        case Fault.ENGINE_ERROR:
            num_good = len(attempt.frames)
        case Fault.BAD_TOKENS | Fault.NOT_FINITE | Fault.DECODE_ERROR:
            # Which frames are bad is not known, and some have been heard.
            num_good = audio.num_decoded_frames
        case _:
            num_good = verdict.num_good_frames
    return _resume_point_of(attempt, num_good, num_taken, untaken)


def _num_kept(attempt: Attempt, num_taken: int, num_before: int) -> int | None:
    verdict, audio = attempt.verdict, attempt.audio
    assert verdict is not None
    assert audio is not None
    num_good, num_heard = verdict.num_good_frames, audio.num_frames_behind(num_taken)
    match verdict.fault:
        case Fault.LOOP | Fault.STALL:
            # Never behind what was heard; if some of the fault was, the good frames tell the model
            # where it is in the text, and new sound follows what was heard.
            return min(num_good, max(num_heard, num_good - num_before * STEP_BACK_FRAMES))
        case Fault.RUNAWAY:
            # Somewhere it left the text, and the sooner it is asked again the better.
            return num_heard if num_heard + MIN_FRAMES_LEFT <= num_good else None
        case Fault.TOO_SHORT | Fault.NOT_FINITE | Fault.DECODE_ERROR:
            # The end was wrong, or the codec could not say these frames: others may be right.
            return num_heard
        case Fault.ENGINE_ERROR:
            # Nothing is wrong with the speech.
            return len(attempt.frames)
        case Fault.TOKEN_LIMIT | Fault.BAD_TOKENS | Fault.SILENT:
            # No token is left to go on with; no frame is known to be good, so the model would go
            # on from a text of noise; and silence is never heard before it is judged.
            return None


def _resume_point_of(
    attempt: Attempt, num_frames: int, num_taken: int, untaken: Samples
) -> ResumePoint:
    assert attempt.audio is not None
    return attempt.audio.resume_point_after(
        attempt.frames[:num_frames], num_taken=num_taken, untaken=untaken
    )

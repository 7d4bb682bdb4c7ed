"""Faults of generations that no guard watched: loops, runaways, early stops."""

from collections.abc import Sequence

from orpheus_server.interfaces import Frame
from orpheus_server.synthesis.guard import Fault, Guard, LengthLimits

LOOPS = frozenset((Fault.LOOP, Fault.STALL))
RUNAWAYS = frozenset((Fault.RUNAWAY, Fault.TOKEN_LIMIT))

EARLY_SHARE = 0.6
"""A generation that takes less than this share of the expected time has left words out. The
server's own limit is lower: it may only reject what is certainly wrong."""

MIN_PHONEMES = 10
"""Shorter texts vary too much in their pace."""


def find_fault(
    frames: Sequence[Frame], limits: LengthLimits, *, hit_token_limit: bool
) -> Fault | None:
    """Returns what the server's guard would have found, with all frames at hand."""
    guard = Guard(limits)
    for frame in frames:
        verdict = guard.feed(frame)
        if verdict is not None:
            return verdict.fault
    verdict = guard.finish(hit_token_limit=hit_token_limit)
    return verdict.fault if verdict is not None else None


def is_early_stop(*, speech_sec: float, num_phonemes: int, phonemes_per_sec: float) -> bool:
    """Returns whether speech is so short that words must be missing, at the voice's own pace."""
    if num_phonemes < MIN_PHONEMES or phonemes_per_sec <= 0:
        return speech_sec == 0
    return speech_sec < EARLY_SHARE * num_phonemes / phonemes_per_sec

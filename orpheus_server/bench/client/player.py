"""A simulated player without a prebuffer, which finds the underruns that a listener would hear."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

SAMPLE_RATE = 24_000
BYTES_PER_SEC = SAMPLE_RATE * 2
"""16-bit mono."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that arrived together, and the seconds since the request was sent."""

    at_sec: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Playback:
    """Where playback started or resumed, and the silence before each resumption.

    `resumes` holds (first byte, time it plays): the start, then one entry per underrun.
    """

    resumes: tuple[tuple[int, float], ...]
    stalls_sec: tuple[float, ...]

    def sounds_at_sec(self, byte: int) -> float:
        """Returns when the player plays this byte."""
        index = bisect.bisect_right(self.resumes, byte, key=lambda resume: resume[0]) - 1
        first_byte, at_sec = self.resumes[index]
        return at_sec + (byte - first_byte) / BYTES_PER_SEC


def play(pieces: Sequence[Piece]) -> Playback:
    """Plays each piece as soon as possible; an underrun is an empty buffer before the last piece.

    The time from the last byte to the end of the connection is not an underrun. A piece that
    arrives exactly when the buffer runs empty is in time.
    """
    first = pieces[0]
    resumes = [(0, first.at_sec)]
    stalls = []
    num_bytes = first.num_bytes
    for piece in pieces[1:]:
        resumed_byte, resumed_sec = resumes[-1]
        empty_sec = resumed_sec + (num_bytes - resumed_byte) / BYTES_PER_SEC
        if piece.at_sec > empty_sec:
            stalls.append(piece.at_sec - empty_sec)
            resumes.append((num_bytes, piece.at_sec))
        num_bytes += piece.num_bytes
    return Playback(tuple(resumes), tuple(stalls))


def largest_gap_sec(pieces: Sequence[Piece]) -> float:
    """Returns the longest time between two consecutive pieces, 0 for a single piece."""
    pairs = itertools.pairwise(pieces)
    return max((later.at_sec - earlier.at_sec for earlier, later in pairs), default=0.0)

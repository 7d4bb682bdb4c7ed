"""The measures of one request."""

import math
from dataclasses import dataclass

from orpheus_server.bench.client.player import BYTES_PER_SEC, Piece, largest_gap_sec, play


@dataclass(frozen=True, slots=True)
class SpeechResponse:
    """The received response; all times but `started_sec` are since the request was sent."""

    started_sec: float
    """On the run's clock."""

    total_sec: float
    pieces: tuple[Piece, ...]
    audible_byte: int | None
    failure: str | None
    """Status and code, or how the response broke off; None if it is complete."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The measures of a complete response."""

    audio_sec: float
    first_audio_sec: float
    """When the first byte of the body arrived."""

    audible_sec: float
    """When a player that starts at the first byte plays the first audible window."""

    real_time_factor: float
    num_underruns: int
    stalled_sec: float
    largest_stall_sec: float
    largest_gap_sec: float


@dataclass(frozen=True, slots=True)
class RequestResult:
    """Either `heard` or `failure` is set."""

    started_sec: float
    total_sec: float
    heard: Heard | None
    failure: str | None


def measure(response: SpeechResponse) -> RequestResult:
    """Returns the result of a request; a complete response that is silent is a failure."""
    failure = response.failure or _defect(response)
    heard = None if failure else _hear(response)
    return RequestResult(response.started_sec, response.total_sec, heard, failure)


def _defect(response: SpeechResponse) -> str | None:
    num_bytes = sum(piece.num_bytes for piece in response.pieces)
    if num_bytes == 0:
        return "empty body"
    if num_bytes % 2:
        return "body ends in half a sample"
    return "nothing audible" if response.audible_byte is None else None


def _hear(response: SpeechResponse) -> Heard:
    assert response.audible_byte is not None
    pieces = response.pieces
    playback = play(pieces)
    audio_sec = sum(piece.num_bytes for piece in pieces) / BYTES_PER_SEC
    return Heard(
        audio_sec=audio_sec,
        first_audio_sec=pieces[0].at_sec,
        audible_sec=playback.sounds_at_sec(response.audible_byte),
        real_time_factor=response.total_sec / audio_sec,
        num_underruns=len(playback.stalls_sec),
        stalled_sec=math.fsum(playback.stalls_sec),
        largest_stall_sec=max(playback.stalls_sec, default=0.0),
        largest_gap_sec=largest_gap_sec(pieces),
    )

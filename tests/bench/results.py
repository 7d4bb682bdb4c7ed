"""Builders of request results with exact values."""

from collections.abc import Sequence

from orpheus_server.bench.client.request_result import Heard, RequestResult
from orpheus_server.bench.client.texts import TextLength
from orpheus_server.bench.speech.level import Level
from orpheus_server.bench.speech.level_stats import LevelStats, level_stats
from orpheus_server.bench.speech.report import LevelReport


def heard(
    first_audio_sec: float = 0.25, *, stalls_sec: Sequence[float] = (), audio_sec: float = 4.0
) -> Heard:
    """Returns the measures of a request that took 2 s."""
    return Heard(
        audio_sec=audio_sec,
        first_audio_sec=first_audio_sec,
        audible_sec=first_audio_sec + 0.125,
        real_time_factor=2.0 / audio_sec,
        num_underruns=len(stalls_sec),
        stalled_sec=sum(stalls_sec),
        largest_stall_sec=max(stalls_sec, default=0.0),
        largest_gap_sec=0.5,
    )


def spoken(
    first_audio_sec: float = 0.25, *, started_sec: float = 0.0, stalls_sec: Sequence[float] = ()
) -> RequestResult:
    """Returns the result of a complete answer that took 2 s."""
    return RequestResult(started_sec, 2.0, heard(first_audio_sec, stalls_sec=stalls_sec), None)


def failed(failure: str, *, started_sec: float = 0.0) -> RequestResult:
    """Returns the result of a request that failed after half a second."""
    return RequestResult(started_sec, 0.5, None, failure)


def one_round(*results: RequestResult) -> LevelStats:
    """Returns the statistics of these results, or of one complete answer."""
    return level_stats(results or [spoken()])


def level(
    texts: TextLength, concurrency: int, *rounds: LevelStats, peer_rounds: Sequence[LevelStats] = ()
) -> LevelReport:
    """Returns a level with these rounds, or with one of a single answer."""
    return LevelReport(Level(texts, concurrency), rounds or (one_round(),), tuple(peer_rounds))

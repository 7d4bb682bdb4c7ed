"""The measures of one request, from pieces with exact times."""

import pytest

from orpheus_server.bench.client.player import BYTES_PER_SEC, Piece
from orpheus_server.bench.client.request_result import Heard, RequestResult, SpeechResponse, measure


def test_a_complete_answer() -> None:
    pieces = (Piece(0.25, 24_000), Piece(1.0, 48_000), Piece(1.25, 24_000))
    answer = SpeechResponse(10.0, 1.5, pieces, audible_byte=36_000, failure=None)
    assert measure(answer) == RequestResult(
        started_sec=10.0,
        total_sec=1.5,
        heard=Heard(
            audio_sec=2.0,
            first_audio_sec=0.25,
            # Half a second is buffered at 0.25, so 0.75 to 1.0 is silent; the audible byte is
            # played a quarter of a second later.
            audible_sec=1.25,
            real_time_factor=0.75,
            num_underruns=1,
            stalled_sec=0.25,
            largest_stall_sec=0.25,
            largest_gap_sec=0.75,
        ),
        failure=None,
    )


def test_stalls_are_added() -> None:
    half = BYTES_PER_SEC // 2
    pieces = (Piece(0.0, half), Piece(0.75, half), Piece(1.75, half))
    heard = measure(SpeechResponse(0.0, 2.0, pieces, audible_byte=0, failure=None)).heard
    assert heard is not None
    assert (heard.num_underruns, heard.stalled_sec, heard.largest_stall_sec) == (2, 0.75, 0.5)


@pytest.mark.parametrize(
    ("pieces", "audible_byte", "failure", "expected"),
    [
        ((Piece(0.5, 960),), 0, "503 overloaded", "503 overloaded"),
        ((), None, None, "empty body"),
        ((Piece(0.5, 961),), 0, None, "body ends in half a sample"),
        ((Piece(0.5, 960),), None, None, "nothing audible"),
    ],
)
def test_failures(
    pieces: tuple[Piece, ...], audible_byte: int | None, failure: str | None, expected: str
) -> None:
    result = measure(SpeechResponse(1.0, 2.0, pieces, audible_byte, failure))
    assert result == RequestResult(1.0, 2.0, heard=None, failure=expected)

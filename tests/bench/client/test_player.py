"""The simulated player, with times that are exact in binary."""

from orpheus_server.bench.client.player import BYTES_PER_SEC, Piece, Playback, largest_gap_sec, play


def piece(at_sec: float, audio_sec: float) -> Piece:
    return Piece(at_sec, int(audio_sec * BYTES_PER_SEC))


class TestPlay:
    def test_one_piece(self) -> None:
        playback = play([piece(0.5, 1)])
        assert playback == Playback(resumes=((0, 0.5),), stalls_sec=())
        assert playback.sounds_at_sec(0) == 0.5
        assert playback.sounds_at_sec(BYTES_PER_SEC // 2) == 1.0

    def test_a_piece_that_arrives_at_the_last_moment_is_in_time(self) -> None:
        assert play([piece(0.5, 1), piece(1.5, 1), piece(2.5, 1)]).stalls_sec == ()

    def test_underruns(self) -> None:
        """Playback resumes when a piece arrives: 1 to 1.25 s and 3.25 to 4.25 s are silent."""
        pieces = [piece(0.5, 0.5), piece(1.25, 1), piece(2, 1), piece(4.25, 1)]
        playback = play(pieces)
        assert playback.stalls_sec == (0.25, 1.0)
        assert playback.resumes == ((0, 0.5), (24_000, 1.25), (120_000, 4.25))

    def test_bytes_after_an_underrun_are_played_later(self) -> None:
        playback = play([piece(0.5, 0.5), piece(1.25, 1)])
        assert playback.sounds_at_sec(23_998) == 0.5 + 23_998 / BYTES_PER_SEC
        assert playback.sounds_at_sec(24_000) == 1.25
        assert playback.sounds_at_sec(48_000) == 1.75

    def test_buffered_audio_bridges_a_gap(self) -> None:
        assert play([piece(0, 1), piece(0.25, 1), piece(2, 1)]).stalls_sec == ()


def test_largest_gap() -> None:
    assert largest_gap_sec([piece(0.5, 1)]) == 0.0
    assert largest_gap_sec([piece(0.5, 1), piece(0.75, 1), piece(1.5, 1)]) == 0.75

"""When a player runs dry, with a clock that only the test moves."""

import math

import pytest

from orpheus_server.synthesis.playback_clock import HOLD_AHEAD_SEC, PlaybackClock

RATE = 24_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def build(clock: Clock, *, speed: float = 1.0, is_live: bool = True) -> PlaybackClock:
    return PlaybackClock(sample_rate=RATE, speed=speed, is_live=is_live, clock=clock)


def test_before_the_first_sample_everything_is_urgent() -> None:
    playback = build(Clock())
    playback.begin_chunk(0)
    assert [playback.deadline(0, start) for start in (0, RATE)] == [-math.inf] * 2


def test_the_clock_starts_with_the_first_sample() -> None:
    clock = Clock()
    playback = build(clock)
    playback.begin_chunk(0)
    clock.now = 107.5
    playback.add(1200)
    assert playback.deadline(0, 0) == 107.5
    assert playback.deadline(0, RATE) == 108.5
    assert playback.deadline(0, 2 * RATE + 12_000) == 110.0


def test_a_player_that_ran_dry_continues_from_the_present() -> None:
    """After a pause in its text, a session had priority over all others until its end."""
    clock = Clock()
    playback = build(clock)
    playback.begin_chunk(0)
    playback.add(RATE)
    clock.now = 150.0
    playback.add(RATE)
    assert playback.deadline(0, 2 * RATE) == 151.0


def test_a_chunk_starts_where_the_previous_one_ended() -> None:
    playback = build(Clock())
    playback.begin_chunk(0)
    playback.add(RATE)
    playback.add(12_000)
    playback.begin_chunk(1)
    assert [playback.deadline(1, start) for start in (0, RATE)] == [101.5, 102.5]
    playback.add(RATE)
    assert playback.deadline(1, 0) == 101.5
    playback.begin_chunk(2)
    assert playback.deadline(2, 0) == 102.5


def test_only_the_current_chunk_has_a_deadline() -> None:
    playback = build(Clock())
    assert playback.deadline(0, 0) == math.inf
    playback.begin_chunk(0)
    assert playback.deadline(1, 0) == math.inf
    playback.add(RATE)
    assert playback.deadline(1, 0) == math.inf
    playback.begin_chunk(1)
    assert playback.deadline(0, 0) == math.inf


@pytest.mark.parametrize(("speed", "seconds"), [(0.25, 4.0), (0.5, 2.0), (1.0, 1.0), (4.0, 0.25)])
def test_faster_speech_ends_sooner(speed: float, seconds: float) -> None:
    playback = build(Clock(), speed=speed)
    playback.begin_chunk(0)
    playback.add(RATE)
    assert playback.deadline(0, RATE) == 100.0 + seconds
    playback.begin_chunk(1)
    assert playback.deadline(1, RATE) == 100.0 + 2 * seconds


def test_a_file_has_no_deadline() -> None:
    playback = build(Clock(), is_live=False)
    playback.begin_chunk(0)
    assert playback.deadline(0, 0) == math.inf
    playback.add(RATE)
    assert playback.deadline(0, RATE) == math.inf


class TestHold:
    """How long samples of an unfinished chunk are held, so that they can be withdrawn."""

    def test_nothing_is_held_before_the_first_sample(self) -> None:
        assert build(Clock()).hold_sec() == -math.inf

    @pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
    def test_one_second_may_be_sent_ahead(self, speed: float) -> None:
        clock = Clock()
        playback = build(clock, speed=speed)
        playback.begin_chunk(0)
        playback.add(RATE // 2)
        assert playback.hold_sec() == 0.5 / speed - HOLD_AHEAD_SEC
        playback.add(2 * RATE)
        playback.begin_chunk(1)
        assert playback.hold_sec() == 2.5 / speed - HOLD_AHEAD_SEC
        clock.now += 1.25
        assert playback.hold_sec() == 2.5 / speed - HOLD_AHEAD_SEC - 1.25

    def test_a_player_that_ran_dry_starts_anew(self) -> None:
        """After late text all audio was overdue, so a loop was sent while it was generated."""
        clock = Clock()
        playback = build(clock)
        playback.begin_chunk(0)
        playback.add(RATE)
        clock.now += 20.0
        assert playback.hold_sec() < 0
        playback.begin_chunk(1)
        playback.add(2 * RATE)
        assert playback.hold_sec() == 2.0 - HOLD_AHEAD_SEC
        assert playback.deadline(1, 2 * RATE) == 122.0

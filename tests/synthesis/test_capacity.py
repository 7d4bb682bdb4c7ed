"""The number of streams that can run in real time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.synthesis.capacity import REAL_TIME_SHARE, Capacity, LoadMeter


def observe(capacity: Capacity, num_at_once: float, real_time_factor: float) -> None:
    """Records a chunk of ten seconds of audio."""
    capacity.observe_finished(10 * real_time_factor, 10.0, num_at_once)


def measured(*points: tuple[float, float], ceiling: int = 256) -> Capacity:
    """A capacity that was probed with points of (number at once, real-time factor)."""
    capacity = Capacity(ceiling=ceiling)
    capacity.begin_probe()
    for num_at_once, factor in points:
        observe(capacity, num_at_once, factor)
    capacity.end_probe()
    return capacity


def test_without_measurements_it_is_the_ceiling() -> None:
    assert Capacity(ceiling=32).num_streams == 32


@pytest.mark.parametrize(
    ("points", "num_streams"),
    [
        # 0.2 + 0.04 * 10 = 0.6
        ([(1, 0.24), (16, 0.84)], 10),
        ([(1, 0.24), (1, 0.24), (16, 0.84), (16, 0.84)], 10),
        # Noise about the line.
        ([(1, 0.23), (1, 0.25), (16, 0.80), (16, 0.88)], 10),
        # Far more than were probed.
        ([(1, 0.11), (64, 0.11 + 63 * 0.004)], 123),
        # No measurable cost: each further stream is assumed to cost 1 % of a single one.
        ([(1, 0.3), (16, 0.3)], 108),
        # Slower than real time: one at a time.
        ([(1, 4.0), (16, 40.0)], 1),
    ],
)
def test_a_line_is_fitted_to_the_probe(points: list[tuple[float, float]], num_streams: int) -> None:
    assert measured(*points).num_streams == num_streams


def test_one_point_scales_the_expected_line() -> None:
    """A machine may be too slow for the concurrent part of the probe."""
    assert measured((1, 10.0)).num_streams == 1
    # The factor that a single stream is expected to have for a ceiling of 10.
    alone = REAL_TIME_SHARE * (0.3 + 0.7 / 10)
    assert measured((1, alone), ceiling=10).num_streams == 10


def test_a_probe_without_a_chunk_changes_nothing() -> None:
    assert measured(ceiling=7).num_streams == 7


def test_the_engines_slots_lower_the_ceiling() -> None:
    capacity = Capacity(ceiling=32)
    num_slots: list[int | None] = [4]
    capacity.limit_to(lambda: num_slots[0])
    assert (capacity.ceiling, capacity.num_streams) == (4, 4)
    assert capacity.num_ahead <= 4
    # More servers, one that does not say, none.
    for known, expected in ((8, 8), (64, 32), (None, 32), (0, 1)):
        num_slots[0] = known
        assert (capacity.ceiling, capacity.num_streams) == (expected, expected)


def test_it_never_exceeds_the_ceiling() -> None:
    assert measured((1, 0.01), (16, 0.02), ceiling=32).num_streams == 32


@pytest.mark.parametrize(
    ("points", "num_ahead"),
    [
        # The sixth gains 0.1 / (5 * 0.34) = 5.9 %, the seventh 0.1 / (6 * 0.38) = 4.4 %.
        ([(1, 0.14), (16, 0.74)], 6),
        # Nearly all is fixed: the seventeenth gains 5.3 %, the eighteenth 4.9 %.
        ([(1, 0.1), (16, 0.1 + 15e-9)], 17),
        # No fixed cost: more at once gain nothing.
        ([(1, 0.04), (16, 0.64)], 1),
        # Much slower than real time, which is no reason to do one after the other.
        ([(1, 1.4), (16, 7.4)], 6),
    ],
)
def test_how_many_are_worth_running_at_once(
    points: list[tuple[float, float]], num_ahead: int
) -> None:
    assert measured(*points).num_ahead == num_ahead


def test_no_more_are_worth_it_than_the_ceiling() -> None:
    assert measured((1, 0.14), (16, 0.74), ceiling=4).num_ahead == 4
    assert Capacity(ceiling=4).num_ahead == 4


def test_it_follows_measurements_under_load() -> None:
    capacity = measured((1, 0.24), (16, 0.84))
    for _ in range(200):
        observe(capacity, 10, 1.2)  # twice as slow as on the line
    assert capacity.num_streams == 2  # 0.6 = 2 * (0.2 + 0.04 * 2.5)
    for _ in range(400):
        observe(capacity, capacity.num_streams, 0.2 + 0.04 * capacity.num_streams)
    assert capacity.num_streams in (9, 10)


def test_a_single_stall_has_a_limited_effect() -> None:
    capacity = measured((1, 0.24), (16, 0.84))
    observe(capacity, 10, 60.0)
    assert capacity.num_streams == 9  # the line is 1.009 times as high
    for _ in range(9):
        observe(capacity, 10, 60.0)
    # A stall that delays all ten streams: 1.09 times as high, however long it was.
    assert capacity.num_streams == 8


def test_a_single_stream_has_less_weight_than_many() -> None:
    alone, many = measured((1, 0.24), (16, 0.84)), measured((1, 0.24), (16, 0.84))
    for _ in range(20):
        observe(alone, 1, 0.48)
        observe(many, 10, 1.2)
    assert (alone.num_streams, many.num_streams) == (8, 7)


@given(
    st.lists(st.tuples(st.floats(1, 300), st.floats(1e-3, 1e3)), max_size=20),
    st.lists(st.tuples(st.floats(0.5, 300), st.floats(1e-6, 1e6)), max_size=50),
    st.integers(1, 4096),
)
def test_it_stays_between_one_and_the_ceiling(
    probe: list[tuple[float, float]], later: list[tuple[float, float]], ceiling: int
) -> None:
    capacity = measured(*probe, ceiling=ceiling)
    for num_at_once, factor in later:
        observe(capacity, num_at_once, factor)
        assert 1 <= capacity.num_streams <= ceiling


class TestUnfinished:
    """Chunks that were cancelled before they were complete."""

    def test_a_machine_that_finishes_no_chunk(self) -> None:
        """Thirty-two streams were admitted forever on a machine for which one is too many."""
        capacity = Capacity(ceiling=32)
        capacity.begin_probe()
        capacity.observe_unfinished(15.0, 2.0, 1.0)
        capacity.end_probe()
        assert capacity.num_streams == 1
        for _ in range(9):
            capacity.observe_unfinished(20.0, 0.0, 1.0)
        assert capacity.num_streams == 1

    def test_the_probe_measures_them_as_far_as_they_are(self) -> None:
        """On a slow machine nothing is finished within the time of the probe."""
        capacity = Capacity(ceiling=256)
        capacity.begin_probe()
        capacity.observe_unfinished(1.0, 1 / 0.24, 1.0)
        capacity.observe_unfinished(2.0, 2 / 0.84, 16.0)
        capacity.observe_unfinished(0.4, 0.1, 1.0)
        capacity.end_probe()
        assert capacity.num_streams == 10

    @pytest.mark.parametrize(
        ("elapsed_sec", "audio_sec"), [(2.9, 0.0), (5.0, 5.0), (5.0, 60.0), (10.0, 9.9)]
    )
    def test_a_client_that_disconnects_changes_nothing(
        self, elapsed_sec: float, audio_sec: float
    ) -> None:
        capacity = measured((1, 0.24), (16, 0.84), (16, 0.84), (20, 1.0), (40, 1.8))
        before = capacity.num_streams
        for _ in range(50):
            capacity.observe_unfinished(elapsed_sec, audio_sec, 30.0)
        assert capacity.num_streams == before

    def test_short_chunks_change_nothing(self) -> None:
        capacity = measured((1, 0.24), (16, 0.84))
        capacity.observe_finished(5.0, 0.9, 1.0)
        assert capacity.num_streams == 10


class TestLoadMeter:
    def test_the_average_is_over_time(self) -> None:
        now = 0.0
        meter = LoadMeter(lambda: now)
        first = meter.begin()
        now = 3.0
        second = meter.begin()
        now = 4.0
        assert meter.end(first) == (4.0, (3 * 1 + 1 * 2) / 4)
        now = 6.0
        assert meter.end(second) == (3.0, (1 * 2 + 2 * 1) / 3)
        assert meter.num_now == 0

    def test_a_chunk_without_duration(self) -> None:
        meter = LoadMeter(lambda: 5.0)
        assert meter.end(meter.begin()) == (0.0, 1.0)

    @given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=40))
    def test_the_average_of_a_single_chunk_is_one(self, steps: list[tuple[float, bool]]) -> None:
        now = 0.0
        meter = LoadMeter(lambda: now)
        for duration, _ in steps:
            begun = meter.begin()
            now += duration
            elapsed, mean = meter.end(begun)
            assert mean == pytest.approx(1.0)
            assert elapsed == pytest.approx(duration, abs=1e-9)
        assert all(a <= b for a, b in pairwise([0.0, now]))

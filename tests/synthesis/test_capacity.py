"""How many streams are carried in real time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.synthesis.capacity import REAL_TIME_SHARE, Capacity, LoadMeter


def observe(capacity: Capacity, num_at_once: float, real_time_factor: float) -> None:
    """Ten seconds of audio."""
    capacity.observe_finished(10 * real_time_factor, 10.0, num_at_once)


def measured(*points: tuple[float, float], ceiling: int = 256) -> Capacity:
    """A capacity that was probed with these (number at once, real-time factor)."""
    capacity = Capacity(ceiling=ceiling)
    capacity.begin_probe()
    for num_at_once, factor in points:
        observe(capacity, num_at_once, factor)
    capacity.end_probe()
    return capacity


def test_unmeasured_it_is_the_ceiling() -> None:
    assert Capacity(ceiling=32).num_streams == 32


@pytest.mark.parametrize(
    ("points", "num_streams"),
    [
        # 0.2 + 0.04 * 10 = 0.6
        ([(1, 0.24), (16, 0.84)], 10),
        ([(1, 0.24), (1, 0.24), (16, 0.84), (16, 0.84)], 10),
        # Noise about the line.
        ([(1, 0.23), (1, 0.25), (16, 0.80), (16, 0.88)], 10),
        # Far more than was tried.
        ([(1, 0.11), (64, 0.11 + 63 * 0.004)], 123),
        # A second one for nothing: 1 % of one alone is what each is taken to cost.
        ([(1, 0.3), (16, 0.3)], 108),
        # Slower than real time is one at a time.
        ([(1, 4.0), (16, 40.0)], 1),
    ],
)
def test_the_probe_lays_a_line(points: list[tuple[float, float]], num_streams: int) -> None:
    assert measured(*points).num_streams == num_streams


def test_one_point_moves_the_line_that_is_expected() -> None:
    """A machine too slow to finish the probe beside others has measured one sentence alone."""
    assert measured((1, 10.0)).num_streams == 1
    # Alone at the factor that the ceiling of 10 is expected to have alone.
    alone = REAL_TIME_SHARE * (0.3 + 0.7 / 10)
    assert measured((1, alone), ceiling=10).num_streams == 10


def test_a_probe_without_a_chunk_changes_nothing() -> None:
    assert measured(ceiling=7).num_streams == 7


def test_never_over_the_ceiling() -> None:
    assert measured((1, 0.01), (16, 0.02), ceiling=32).num_streams == 32


def test_it_follows_what_is_measured_under_load() -> None:
    capacity = measured((1, 0.24), (16, 0.84))
    for _ in range(200):
        observe(capacity, 10, 1.2)  # twice as slow as the line says
    assert capacity.num_streams == 2  # 0.6 = 2 * (0.2 + 0.04 * 2.5)
    for _ in range(400):
        observe(capacity, capacity.num_streams, 0.2 + 0.04 * capacity.num_streams)
    assert capacity.num_streams in (9, 10)


def test_a_single_stumble_is_no_capacity() -> None:
    capacity = measured((1, 0.24), (16, 0.84))
    observe(capacity, 10, 60.0)
    assert capacity.num_streams == 9  # the line 1.03 times as high
    for _ in range(10):
        observe(capacity, 10, 60.0)
    # A burst that all ten of them feel: 1.4 times as high, however long it was.
    assert capacity.num_streams == 5


def test_one_alone_tells_less() -> None:
    alone, many = measured((1, 0.24), (16, 0.84)), measured((1, 0.24), (16, 0.84))
    for _ in range(20):
        observe(alone, 1, 0.48)
        observe(many, 10, 1.2)
    assert (alone.num_streams, many.num_streams) == (6, 5)


@given(
    st.lists(st.tuples(st.floats(1, 300), st.floats(1e-3, 1e3)), max_size=20),
    st.lists(st.tuples(st.floats(0.5, 300), st.floats(1e-6, 1e6)), max_size=50),
    st.integers(1, 4096),
)
def test_there_is_always_one_and_never_too_many(
    probe: list[tuple[float, float]], later: list[tuple[float, float]], ceiling: int
) -> None:
    capacity = measured(*probe, ceiling=ceiling)
    for num_at_once, factor in later:
        observe(capacity, num_at_once, factor)
        assert 1 <= capacity.num_streams <= ceiling


class TestUnfinished:
    """Chunks that nobody waited for any longer."""

    def test_a_machine_that_finishes_none_is_known(self) -> None:
        """Thirty-two at once were let in for ever where one is too much."""
        capacity = Capacity(ceiling=32)
        capacity.begin_probe()
        capacity.observe_unfinished(15.0, 2.0, 1.0)
        capacity.end_probe()
        assert capacity.num_streams == 1
        for _ in range(9):
            capacity.observe_unfinished(20.0, 0.0, 1.0)
        assert capacity.num_streams == 1

    @pytest.mark.parametrize(
        ("elapsed_sec", "audio_sec"), [(2.9, 0.0), (5.0, 5.0), (5.0, 60.0), (10.0, 9.9)]
    )
    def test_who_hangs_up_tells_nothing(self, elapsed_sec: float, audio_sec: float) -> None:
        capacity = measured((1, 0.24), (16, 0.84), (16, 0.84), (20, 1.0), (40, 1.8))
        before = capacity.num_streams
        for _ in range(50):
            capacity.observe_unfinished(elapsed_sec, audio_sec, 30.0)
        assert capacity.num_streams == before

    def test_short_ones_tell_nothing(self) -> None:
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

    def test_an_instant(self) -> None:
        meter = LoadMeter(lambda: 5.0)
        assert meter.end(meter.begin()) == (0.0, 1.0)

    @given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=40))
    def test_a_lone_one_has_one(self, steps: list[tuple[float, bool]]) -> None:
        now = 0.0
        meter = LoadMeter(lambda: now)
        for duration, _ in steps:
            begun = meter.begin()
            now += duration
            elapsed, mean = meter.end(begun)
            assert mean == pytest.approx(1.0)
            assert elapsed == pytest.approx(duration, abs=1e-9)
        assert all(a <= b for a, b in pairwise([0.0, now]))

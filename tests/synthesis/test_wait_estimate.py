"""The estimate of waiting times, in numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.synthesis.fair_queue import NEW_LANES, Lane
from orpheus_server.synthesis.wait_estimate import (
    FIRST_HOLD_SEC,
    MAX_RETRY_AFTER_SEC,
    WaitEstimate,
    retry_after_sec,
)


def test_two_seconds_are_assumed_at_first() -> None:
    estimate = WaitEstimate()
    assert estimate.wait_sec(0, [], 1) == FIRST_HOLD_SEC == 2.0
    assert estimate.wait_sec(0, [("bulk", 0.0)], 1) == 2.0


@pytest.mark.parametrize(
    ("num_ahead", "num_slots", "expected_sec"), [(0, 1, 2.0), (3, 1, 8.0), (3, 4, 2.0), (0, 4, 0.5)]
)
def test_the_requests_ahead_share_the_slots(
    num_ahead: int, num_slots: int, expected_sec: float
) -> None:
    assert WaitEstimate().wait_sec(num_ahead, [("interactive", 1.0)], num_slots) == expected_sec


def test_the_average_follows_each_hold_by_a_tenth() -> None:
    estimate = WaitEstimate()
    estimate.observe("interactive", 12.0)
    assert estimate.wait_sec(0, [], 1) == pytest.approx(3.0)
    estimate.observe("interactive", 0.0)
    assert estimate.wait_sec(0, [], 1) == pytest.approx(2.7)


def test_a_long_hold_counts_as_a_minute() -> None:
    estimate = WaitEstimate()
    estimate.observe("interactive", 1e6)
    assert estimate.wait_sec(0, [], 1) == pytest.approx(2.0 + 0.1 * (60.0 - 2.0))


def test_each_lane_has_its_own_average() -> None:
    estimate = WaitEstimate()
    estimate.observe("bulk", 42.0)
    assert estimate.wait_sec(0, [], 1) == 2.0
    assert estimate.wait_sec(0, [("bulk", 0.0)], 1) == pytest.approx(6.0)
    assert estimate.wait_sec(0, [("bulk", 0.0), ("interactive", 0.0)], 1) == pytest.approx(4.0)


def test_a_slot_is_held_no_shorter_than_it_has_been() -> None:
    held: list[tuple[Lane, float]] = [("interactive", 50.0), ("interactive", 1.0)]
    assert WaitEstimate().wait_sec(0, held, 1) == (50.0 + 2.0) / 2


@given(
    holds=st.lists(st.tuples(st.sampled_from(NEW_LANES), st.floats(0.0, 1e6)), max_size=20),
    num_ahead=st.integers(0, 1000),
)
def test_the_wait_grows_with_the_requests_ahead(
    holds: list[tuple[Lane, float]], num_ahead: int
) -> None:
    estimate = WaitEstimate()
    for lane, held_sec in holds:
        estimate.observe(lane, held_sec)
    one, more = (estimate.wait_sec(num, [], 2) for num in (num_ahead, num_ahead + 1))
    assert 0.0 < one < more <= 60.0 * (num_ahead + 2) / 2


@pytest.mark.parametrize(
    ("wait_sec", "seconds"), [(-1.0, 1), (0.0, 1), (1.0, 1), (1.01, 2), (119.5, 120), (1e9, 120)]
)
def test_clients_retry_after_whole_seconds(wait_sec: float, seconds: int) -> None:
    assert retry_after_sec(wait_sec) == seconds <= MAX_RETRY_AFTER_SEC

"""Each detector fires at the first possible frame and reports how many frames were good."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.checkpoints.checkpoint import ShortestSpeech
from orpheus_server.interfaces import Frame
from orpheus_server.synthesis.guard import Fault, Guard, LengthLimits, Verdict, limits_of

FRAME_SEC = 2048 / 24_000
LONG = LengthLimits(expected=1000.0, shortest=1.0, longest=10_000.0)


def distinct(num_frames: int, *, start: int = 0) -> list[Frame]:
    """Frames without a common code."""
    return [
        tuple(7 * number + slot for slot in range(7)) for number in range(start, start + num_frames)
    ]


def first_verdict(
    frames: Sequence[Frame], limits: LengthLimits = LONG
) -> tuple[int, Verdict] | None:
    """Returns the number of the frame at which a fault is detected, and the fault."""
    guard = Guard(limits)
    for number, frame in enumerate(frames, start=1):
        verdict = guard.feed(frame)
        if verdict is not None:
            return number, verdict
    return None


@pytest.mark.parametrize(
    ("period", "num_looping"),
    [(1, 12), (2, 12), (3, 12), (4, 12), (5, 15), (6, 18), (7, 21), (8, 24), (9, 27), (10, 30)],
)
@pytest.mark.parametrize("num_before", [0, 1, 25])
def test_a_loop_of_every_period(period: int, num_looping: int, num_before: int) -> None:
    """canopyai#207: a generation that repeated itself ran to the token limit."""
    before = distinct(num_before)
    loop = (distinct(period, start=1000) * num_looping)[:num_looping]
    assert first_verdict([*before, *loop[:-1]]) is None
    found = first_verdict([*before, *loop])
    assert found is not None
    number, verdict = found
    assert number == num_before + num_looping
    assert verdict.fault is Fault.LOOP
    assert verdict.num_good_frames == num_before + period
    assert verdict.detail == f"period {period} frames, {num_looping // period} times"


def test_a_period_of_eleven_is_not_a_loop() -> None:
    assert first_verdict(distinct(11) * 10) is None


def test_an_interrupted_loop_is_counted_anew() -> None:
    loop = distinct(1) * 11
    frames = [*loop, *distinct(8, start=50), *loop]
    assert first_verdict(frames) is None
    assert first_verdict([*frames, loop[0]]) is not None


def nearly_constant(num_frames: int, num_changing: int) -> list[Frame]:
    """Frames that differ from the one before in `num_changing` of seven codes."""
    steady = tuple(range(7 - num_changing))
    changing = [
        tuple(100 + 7 * number + slot for slot in range(num_changing))
        for number in range(num_frames)
    ]
    return [(*steady, *codes) for codes in changing]


def test_a_stall() -> None:
    """Six of seven codes do not change: a hum that is not an exact loop."""
    frames = [*distinct(5, start=1000), *nearly_constant(18, 1)]
    assert first_verdict(frames[:-1]) is None
    # All codes of the hum's first frame are new, so 17 * 6 of 18 * 7 codes are unchanged.
    assert first_verdict(frames) == (23, Verdict(Fault.STALL, 5, "81% of codes unchanged"))


def test_two_changing_codes_are_speech() -> None:
    assert first_verdict(nearly_constant(100, 2)) is None


def test_a_runaway() -> None:
    limits = LengthLimits(expected=10.0, shortest=2.0, longest=40.5)
    assert first_verdict(distinct(40), limits) is None
    found = first_verdict(distinct(41), limits)
    assert found == (41, Verdict(Fault.RUNAWAY, 40, "41 frames for an expected 10"))


@pytest.mark.parametrize(
    ("num_frames", "hit_token_limit", "expected"),
    [
        (0, False, Verdict(Fault.TOO_SHORT, 0, "0 frames for an expected 50")),
        (8, False, Verdict(Fault.TOO_SHORT, 8, "8 frames for an expected 50")),
        (9, False, None),
        (50, False, None),
        (50, True, Verdict(Fault.TOKEN_LIMIT, 50, "no stop after 50 frames")),
        (8, True, Verdict(Fault.TOKEN_LIMIT, 8, "no stop after 8 frames")),
    ],
)
def test_finish(num_frames: int, hit_token_limit: bool, expected: Verdict | None) -> None:
    guard = Guard(LengthLimits(expected=50.0, shortest=9.0, longest=200.0))
    assert [guard.feed(frame) for frame in distinct(num_frames)] == [None] * num_frames
    assert guard.finish(hit_token_limit=hit_token_limit) == expected


@pytest.mark.parametrize(
    ("expected_sec", "shortest_sec", "longest_sec"),
    [(10.0, 2.5, 28.0), (2.0, 0.1, 8.0), (0.1, FRAME_SEC, 3.25), (0.0, FRAME_SEC, 3.0)],
)
def test_limits_of(expected_sec: float, shortest_sec: float, longest_sec: float) -> None:
    limits = limits_of(expected_sec, FRAME_SEC, ShortestSpeech())
    assert limits.expected * FRAME_SEC == pytest.approx(expected_sec)
    assert limits.shortest * FRAME_SEC == pytest.approx(shortest_sec)
    assert limits.longest * FRAME_SEC == pytest.approx(longest_sec)


@pytest.mark.parametrize(
    ("expected_sec", "shortest_sec"), [(3.0, 2.5), (1.0, 0.9), (0.1, 0.18), (0.0, 0.1)]
)
def test_the_shortest_speech_of_a_voice(expected_sec: float, shortest_sec: float) -> None:
    """With the wide limit, half of "Wait a moment. I think I know the answer." was good enough."""
    limits = limits_of(expected_sec, FRAME_SEC, ShortestSpeech(share=0.8, sec=0.1))
    assert limits.shortest * FRAME_SEC == pytest.approx(shortest_sec)


@settings(deadline=None)
@given(st.integers(), st.integers(0, 200))
def test_the_only_fault_of_random_frames_is_their_number(seed: int, num_frames: int) -> None:
    random = Random(seed)
    frames = [tuple(random.randrange(4096) for _ in range(7)) for _ in range(num_frames)]
    assert first_verdict(frames) is None
    found = first_verdict(frames, LengthLimits(expected=50.0, shortest=1.0, longest=150.0))
    assert (found and found[1].fault) == (Fault.RUNAWAY if num_frames > 150 else None)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 7), max_size=60))
def test_a_verdict_never_counts_more_frames_than_were_fed(frames: list[Frame]) -> None:
    found = first_verdict(frames)
    assert found is None or 0 <= found[1].num_good_frames <= found[0]

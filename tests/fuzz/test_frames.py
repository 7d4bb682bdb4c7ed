"""Any generated ids: frames do not depend on the deltas, and the guard finds every fault."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.interfaces import Frame
from orpheus_server.synthesis.frames import FrameAssembler
from orpheus_server.synthesis.guard import (
    MAX_LOOP_PERIOD,
    MIN_LOOP_FRAMES,
    MIN_LOOP_REPEATS,
    STALL_FRAMES,
    STALL_SHARE,
    Fault,
    Guard,
    LengthLimits,
)
from tests.fuzz.examples import Effort, efforts
from tests.support.app import POCKET, speech_ids

SPEECH = speech_ids(6)
IDS = st.lists(
    st.integers(POCKET.layout.audio_token_base - 9, POCKET.layout.audio_token_end + 9)
    | st.integers(ENGLISH.layout.audio_token_base - 9, ENGLISH.layout.audio_token_end + 9)
    | st.integers()
    | st.sampled_from([*SPEECH, *POCKET.layout.stop_token_ids, *ENGLISH.layout.stop_token_ids]),
    max_size=60,
)
# Valid speech with missing, repeated and foreign ids.
DAMAGED = st.lists(
    st.tuples(st.integers(0, len(SPEECH)), st.integers(0, 12)).map(
        lambda part: list(SPEECH[part[0] : part[0] + part[1]])
    )
    | IDS,
    max_size=8,
).map(lambda parts: [each for part in parts for each in part])


@efforts(quick=200, slow=5000)
def test_ids_in_any_deltas(effort: Effort) -> None:
    def check(ids: list[int], places: list[int]) -> None:
        for layout in (POCKET.layout, ENGLISH.layout):
            whole, pieces = FrameAssembler(layout), FrameAssembler(layout)
            frames = whole.feed(ids)
            edges = [0, *sorted(place % (len(ids) + 1) for place in places), len(ids)]
            fed = [frame for a, b in pairwise(edges) for frame in pieces.feed(ids[a:b])]
            assert fed == frames
            counts = (whole.num_filled, whole.num_stray, whole.num_other)
            assert (pieces.num_filled, pieces.num_stray, pieces.num_other) == counts
            assert all(len(frame) == layout.num_slots for frame in frames)
            assert all(0 <= code < layout.codebook_size for frame in frames for code in frame)
            num_stops = sum(each in layout.stop_token_ids for each in ids)
            num_placed = len(ids) - num_stops - whole.num_stray - whole.num_other
            assert 0 <= num_placed + whole.num_filled - 7 * len(frames) < 7

    effort.run(
        check,
        ids=IDS | DAMAGED,
        places=st.lists(st.integers(0, 99), max_size=6),
    )


FRAMES = st.lists(
    # Few different codes, in runs, so that long repetitions occur.
    st.tuples(
        st.lists(st.tuples(*[st.integers(0, 1)] * 7), min_size=1, max_size=11), st.integers(1, 15)
    ).map(lambda run: run[0] * run[1]),
    max_size=5,
).map(lambda runs: [frame for run in runs for frame in run])
LENGTHS = st.builds(
    LengthLimits,
    expected=st.floats(0.0, 100.0),
    shortest=st.floats(0.0, 100.0),
    longest=st.floats(0.0, 200.0) | st.just(1e9),
)


def num_repeated(frames: Sequence[Frame], period: int) -> int:
    """Returns how many frames at the end equal the frame one period earlier."""
    num = 0
    while num + period < len(frames) and frames[-1 - num] == frames[-1 - num - period]:
        num += 1
    return num


def fault_at_end(frames: Sequence[Frame], limits: LengthLimits) -> tuple[Fault, int] | None:
    """Returns the fault that the last frame completes and the number of good frames."""
    for period in range(1, MAX_LOOP_PERIOD + 1):
        num = num_repeated(frames, period)
        if num and num + period >= max(MIN_LOOP_FRAMES, MIN_LOOP_REPEATS * period):
            return Fault.LOOP, len(frames) - num
    same = [sum(a == b for a, b in zip(*pair, strict=True)) for pair in pairwise(frames)]
    recent = [0, *same][-STALL_FRAMES:]
    if len(recent) == STALL_FRAMES and sum(recent) >= STALL_SHARE * 7 * STALL_FRAMES:
        return Fault.STALL, len(frames) - STALL_FRAMES
    if len(frames) > limits.longest:
        return Fault.RUNAWAY, int(limits.longest)
    return None


@efforts(quick=150, slow=3000)
def test_the_guard_matches_a_reference(effort: Effort) -> None:
    def check(frames: list[Frame], limits: LengthLimits) -> None:
        guard = Guard(limits)
        for number, frame in enumerate(frames, start=1):
            verdict = guard.feed(frame)
            found = verdict and (verdict.fault, verdict.num_good_frames)
            assert found == fault_at_end(frames[:number], limits)
            if verdict is not None:
                assert 0 <= verdict.num_good_frames <= number
                assert verdict.detail
                return  # An attempt ends with its first fault.
        last = guard.finish(hit_token_limit=False)
        assert (last is not None) == (len(frames) < limits.shortest)
        cut = guard.finish(hit_token_limit=True)
        assert cut is not None
        assert (cut.fault, cut.num_good_frames) == (Fault.TOKEN_LIMIT, len(frames))

    effort.run(check, frames=FRAMES, limits=LENGTHS)


@efforts(quick=60, slow=1000)
def test_different_frames_are_not_a_fault(effort: Effort) -> None:
    limits = LengthLimits(expected=50.0, shortest=1.0, longest=150.0)

    def check(first: int, step: int, num_frames: int) -> None:
        guard = Guard(limits)
        for index in range(num_frames):
            code = (first + index * step) % 4096
            frame = tuple((code + slot * 512) % 4096 for slot in range(7))
            assert guard.feed(frame) is None
        assert guard.finish(hit_token_limit=False) is None

    # An odd step returns to a code only after 4096 frames.
    effort.run(
        check,
        first=st.integers(0, 4095),
        step=st.integers(0, 2047).map(lambda half: 2 * half + 1),
        num_frames=st.integers(1, 150),
    )

"""Windows are cut depending on the frames' indices alone."""

from collections.abc import Sequence
from dataclasses import fields
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.audio.snac.cropped import WindowShape
from orpheus_server.audio.snac.spans import Span
from orpheus_server.audio.snac.windows import HOPS, NO_END, Window, WindowCutter, hops
from orpheus_server.interfaces import Frame

SIZE = 2048
# The shapes of the published codec (`test_cropped.py`).
PUBLISHED = {
    1: WindowShape(6, Span(5483, 7531), ()),
    2: WindowShape(7, Span(5483, 9579), ()),
    4: WindowShape(9, Span(5483, 13675), ()),
}
ALWAYS_EXACT = 1 << 30


def shapes_of(reach: int, size: int) -> dict[int, WindowShape]:
    """Returns the shapes for a codec that depends on `reach` samples ahead and as many back."""
    shapes = {}
    for hop in HOPS:
        num_frames = -(-(2 * reach + hop * size) // size)
        end = num_frames * size - reach
        shapes[hop] = WindowShape(num_frames, Span(end - hop * size, end), ())
    return shapes


def frames_of(num_frames: int) -> list[Frame]:
    return [(index + 1, 2 * index + 1) for index in range(num_frames)]


def cutter(first_frames: int = ALWAYS_EXACT) -> WindowCutter:
    return WindowCutter(PUBLISHED, samples_per_frame=SIZE, first_frames=first_frames)


def feed_in_pieces(
    target: WindowCutter, frames: Sequence[Frame], edges: Sequence[int]
) -> list[Window]:
    windows, start = [], 0
    for edge in [*sorted(edges), len(frames)]:
        windows += target.feed(frames[start:edge])
        start = max(start, edge)
    return windows


def key(window: Window) -> tuple[object, ...]:
    """Returns all fields of the window, comparable by value."""
    values = {field.name: getattr(window, field.name) for field in fields(Window)}
    return (values.pop("codes").tolist(), *values.items())


def num_samples(windows: Sequence[Window]) -> int:
    return sum(window.stop - window.skip for window in windows)


def check_tiling(windows: Sequence[Window], end: int) -> None:
    """Checks that each window starts where the one before has ended."""
    position = 0
    for window in windows:
        assert window.start == position
        assert 0 <= window.skip < window.stop
        position += window.stop - window.skip
    assert position == end


def test_hops_grow_with_the_index() -> None:
    assert list(islice(hops(), 28)) == [1] * 8 + [2] * 16 + [4] * 4


def test_first_audio_is_exact_after_three_frames() -> None:
    target = cutter()
    sizes = [num_samples(target.feed(frames_of(6)[index : index + 1])) for index in range(6)]
    assert sizes == [0, 0, 1387, 2048, 2048, 2048]


def test_first_audio_after_two_frames_has_the_same_length() -> None:
    target = cutter(2)
    sizes = [num_samples(target.feed(frames_of(6)[index : index + 1])) for index in range(6)]
    assert sizes == [0, 1387, 0, 2048, 2048, 2048]


def test_a_window_holds_its_frames_and_nothing_else() -> None:
    target = cutter()
    first, second = target.feed(frames_of(4))
    assert (first.hop, first.first_frame, first.end_frame) == (1, -3, NO_END)
    assert first.codes.dtype == np.int64
    assert first.codes.tolist() == [[0, 0]] * 3 + [[1, 1], [2, 3], [3, 5]]
    assert (first.start, first.skip, first.stop) == (0, 661, 2048)
    assert first.is_edge
    assert (second.first_frame, second.start, second.skip) == (-2, 1387, 0)
    third, *_ = target.flush()
    assert third.codes.tolist() == [[0, 0], [1, 1], [2, 3], [3, 5], [4, 7], [0, 0]]
    assert (third.first_frame, third.end_frame, third.is_edge) == (-1, 4, True)


def test_inner_windows_are_not_edges_and_follow_the_hops() -> None:
    windows = cutter().feed(frames_of(60))
    assert [window.hop for window in windows] == list(islice(hops(), len(windows)))
    assert [window.is_edge for window in windows] == [True] * 3 + [False] * (len(windows) - 3)
    # A window of four is cut when the fourth frame arrives, not earlier.
    ends = [window.first_frame + len(window.codes) for window in windows]
    assert ends == [*range(3, 11), *range(12, 43, 2), 46, 50, 54, 58]


@settings(max_examples=40, deadline=None)
@given(
    num_frames=st.integers(0, 60),
    edges=st.lists(st.integers(0, 60), max_size=12),
    first_frames=st.sampled_from([1, 2, 3, ALWAYS_EXACT]),
)
def test_windows_do_not_depend_on_how_frames_are_fed(
    num_frames: int, edges: list[int], first_frames: int
) -> None:
    """If the windows depended on timing, the last bits of the samples would too."""
    frames = frames_of(num_frames)
    together, pieces, singly = (cutter(first_frames) for _ in range(3))
    expected = together.feed(frames)
    assert [key(window) for window in feed_in_pieces(pieces, frames, edges)] == [
        key(window) for window in expected
    ]
    assert [key(window) for frame in frames for window in singly.feed([frame])] == [
        key(window) for window in expected
    ]
    rest = together.flush()
    assert [key(window) for window in pieces.flush()] == [key(window) for window in rest]
    check_tiling(expected + rest, num_frames * SIZE)
    assert [window.hop for window in expected + rest] == list(islice(hops(), len(expected + rest)))


@settings(max_examples=60, deadline=None)
@given(
    reach=st.integers(0, 70),
    size=st.integers(1, 20),
    num_frames=st.integers(0, 120),
    first_frames=st.integers(1, 80),
)
def test_windows_of_any_codec_leave_no_gap(
    reach: int, size: int, num_frames: int, first_frames: int
) -> None:
    """Whether the codec depends on less than a sample or on seventy frames ahead."""
    target = WindowCutter(shapes_of(reach, size), samples_per_frame=size, first_frames=first_frames)
    fed = target.feed(frames_of(num_frames))
    check_tiling(fed + target.flush(), num_frames * size)
    early = 1 if first_frames * size <= reach and num_frames >= first_frames else 0
    for window in fed[early:]:
        end = window.start + window.stop - window.skip
        assert end <= num_frames * size - reach, "not certain yet"


@pytest.mark.parametrize("first_frames", [2, 3])
@pytest.mark.parametrize("num_frames", range(1, 50))
def test_flush_after_any_number_of_frames(num_frames: int, first_frames: int) -> None:
    target = cutter(first_frames)
    fed = target.feed(frames_of(num_frames))
    rest = target.flush()
    check_tiling(fed + rest, num_frames * SIZE)
    assert {window.end_frame for window in rest} <= {num_frames}
    # No window is decoded without need.
    assert all(window.stop > window.skip for window in rest)


def test_without_frames_there_are_no_windows() -> None:
    target = cutter()
    assert target.feed([]) == []
    assert target.flush() == []


def test_an_early_window_is_cut_as_if_the_utterance_ended_there() -> None:
    """So an utterance of exactly two frames is exact, and later frames do not change the window."""
    early, *_ = cutter(2).feed(frames_of(5))
    alone = cutter(2)
    (window,) = alone.feed(frames_of(2))
    assert key(window) == key(early)
    assert window.end_frame == 2
    exact = cutter(3)
    assert exact.feed(frames_of(2)) == []
    flushed = exact.flush()
    assert key(flushed[0]) == key(window)
    assert [key(each) for each in alone.flush()] == [key(each) for each in flushed[1:]]


@pytest.mark.parametrize("num_frames", [3, 4, 20, 41])
def test_all_windows_after_an_early_one_are_exact(num_frames: int) -> None:
    exact, early = cutter(3), cutter(2)
    frames = frames_of(num_frames)
    exact_windows = exact.feed(frames) + exact.flush()
    early_windows = early.feed(frames) + early.flush()
    assert [key(window) for window in early_windows[1:]] == [
        key(window) for window in exact_windows[1:]
    ]
    assert early_windows[0].end_frame == 2
    assert (early_windows[0].start, early_windows[0].stop) == (0, 2048)

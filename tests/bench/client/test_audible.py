"""The first audible 10 ms, however the body is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.bench.client.audible import WINDOW_BYTES, AudibleFinder
from tests.bench.scripted_server import SILENCE, SOUND


def level(rms: float) -> bytes:
    """Returns a window with this RMS level, as a share of full scale."""
    return np.full(240, round(rms * 32768), "<i2").tobytes()


def find_byte(*pieces: bytes) -> int | None:
    finder = AudibleFinder()
    for piece in pieces:
        finder.feed(piece)
    return finder.byte


def test_windows_are_10_ms() -> None:
    assert len(SILENCE) == len(SOUND) == WINDOW_BYTES == 24_000 * 2 // 100


@pytest.mark.parametrize(("rms", "byte"), [(0.0059, None), (0.0061, 480)])
def test_the_threshold(rms: float, byte: int | None) -> None:
    assert find_byte(SILENCE + level(rms)) == byte


def test_negative_samples_count() -> None:
    assert find_byte(level(-0.5)) == 0


def test_the_first_audible_window_counts() -> None:
    assert find_byte(SILENCE * 3, SOUND, SILENCE, SOUND) == 1440


def test_nothing_audible() -> None:
    assert find_byte() is None
    assert find_byte(SILENCE, SILENCE) is None
    # An incomplete window is not analysed.
    assert find_byte(SOUND[:-2]) is None


@given(st.lists(st.integers(1, 5 * WINDOW_BYTES), unique=True))
def test_piece_boundaries_do_not_matter(cuts: list[int]) -> None:
    """TCP may split the body in the middle of a sample."""
    body = SILENCE * 4 + SOUND * 2
    ends = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert find_byte(*pieces) == 4 * WINDOW_BYTES

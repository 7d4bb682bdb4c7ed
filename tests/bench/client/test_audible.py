"""The first audible 10 ms, however the body is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.bench.client.audible import WINDOW_BYTES, AudibleFinder
from tests.bench.scripted_server import SILENCE, SOUND


def level(rms: float) -> bytes:
    """A window at this share of full scale."""
    return np.full(240, round(rms * 32768), "<i2").tobytes()


def found(*pieces: bytes) -> int | None:
    finder = AudibleFinder()
    for piece in pieces:
        finder.feed(piece)
    return finder.byte


def test_windows_are_10_ms() -> None:
    assert len(SILENCE) == len(SOUND) == WINDOW_BYTES == 24_000 * 2 // 100


@pytest.mark.parametrize(("rms", "byte"), [(0.0059, None), (0.0061, 480)])
def test_the_threshold(rms: float, byte: int | None) -> None:
    assert found(SILENCE + level(rms)) == byte


def test_negative_samples_count() -> None:
    assert found(level(-0.5)) == 0


def test_the_first_one_counts() -> None:
    assert found(SILENCE * 3, SOUND, SILENCE, SOUND) == 1440


def test_nothing_audible() -> None:
    assert found() is None
    assert found(SILENCE, SILENCE) is None
    # Less than a window is not judged.
    assert found(SOUND[:-2]) is None


@given(st.lists(st.integers(1, 5 * WINDOW_BYTES), unique=True))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    """Pieces of TCP end in the middle of samples."""
    body = SILENCE * 4 + SOUND * 2
    ends = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert found(*pieces) == 4 * WINDOW_BYTES

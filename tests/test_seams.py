"""Chunks side by side: no click, no long gap, nothing of a word lost."""

import numpy as np
import pytest

from orpheus_server.audio import Samples, empty
from orpheus_server.seams import join_chunks, smooth_chunk

RATE = 24_000
LEAD, TAIL = 3600, 7200  # 0.15 and 0.3 s
FADE = 120


def chunk(num_lead: int, num_loud: int, num_tail: int) -> Samples:
    parts = ((num_lead, 0.0), (num_loud, 0.5), (num_tail, 0.0))
    return np.concatenate([np.full(num, value, dtype=np.float32) for num, value in parts])


@pytest.mark.parametrize(
    ("num_lead", "num_tail", "expected"),
    [(0, 0, 4800), (LEAD, TAIL, 15_600), (24_000, 24_000, 15_600), (2400, 2400, 9600)],
)
def test_length_of_a_smooth_chunk(num_lead: int, num_tail: int, expected: int) -> None:
    assert smooth_chunk(chunk(num_lead, 4800, num_tail), sample_rate=RATE).size == expected


def test_sound_is_untouched_but_for_the_fade() -> None:
    smooth = smooth_chunk(chunk(0, 4800, 0), sample_rate=RATE)
    assert smooth[0] == smooth[-1] == 0.0
    assert smooth[FADE:-FADE].tolist() == [0.5] * (4800 - 2 * FADE)


def test_fade_falls_into_silence_that_is_there() -> None:
    smooth = smooth_chunk(chunk(24_000, 4800, 24_000), sample_rate=RATE)
    assert smooth[LEAD:-TAIL].tolist() == [0.5] * 4800


def test_join_chunks() -> None:
    first, second = chunk(24_000, 4800, 0), chunk(0, 2400, 24_000)
    joined = join_chunks([first, second], sample_rate=RATE)
    assert joined.dtype == np.float32
    assert joined.size == LEAD + 4800 + 2400 + TAIL
    # No step anywhere is larger than one of the fade: a hard joint steps by 0.5.
    assert np.abs(np.diff(joined)[LEAD:-TAIL]).max() == pytest.approx(0.5 / FADE, rel=1e-4)


def test_join_of_nothing() -> None:
    assert join_chunks([], sample_rate=RATE).size == 0
    assert join_chunks([empty(), empty()], sample_rate=RATE).size == 0

"""Chunks in a row, in any pieces: no click, no long gap, and no part of a word lost."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_server.audio.samples import SPEECH_RMS, empty
from orpheus_server.audio.trimming import EdgeTrimmer, Tail
from orpheus_server.interfaces import Samples
from tests.support.app import smooth_chunk

RATE = 24_000
LEAD, TAIL = 3600, 7200  # 0.15 and 0.3 s
WINDOW, FADE = 240, 120  # 10 and 5 ms
RAMP = np.arange(FADE) / FADE


def constant(num_samples: int, value: float = 0.5) -> Samples:
    return np.full(num_samples, value, dtype=np.float32)


def chunk(num_lead: int, num_loud: int, num_tail: int) -> Samples:
    return np.concatenate([constant(num_lead, 0.0), constant(num_loud), constant(num_tail, 0.0)])


def smooth(samples: Samples) -> Samples:
    return smooth_chunk(samples, sample_rate=RATE)


def trimmed_and_faded(samples: Samples) -> Samples:
    """Computes the same from the whole chunk: from the first loud window to the last."""
    padded = np.pad(samples, (0, -samples.size % WINDOW))
    power = np.square(padded).reshape(-1, WINDOW).mean(axis=1)
    loud = np.flatnonzero(power > SPEECH_RMS**2)
    if loud.size:
        samples = samples[max(0, loud[0] * WINDOW - LEAD) : (loud[-1] + 1) * WINDOW + TAIL]
    length = min(FADE, samples.size // 2)
    gain = np.ones(samples.size, dtype=np.float32)
    if length:
        ramp = np.linspace(0.0, 1.0, length, endpoint=False, dtype=np.float32)
        gain[:length], gain[-length:] = ramp, ramp[::-1]
    faded: Samples = samples * gain
    return faded


@st.composite
def chunks(draw: st.DrawFn) -> Samples:
    """Loud and quiet parts of lengths near the limits, with random signs to distinguish samples."""
    lengths = st.sampled_from([0, 1, 119, 120, 121, 239, 240, 241, 480, 2048, 3600, 7300, 15_000])
    levels = st.sampled_from([0.0, 0.003, 0.0059, 0.0061, 0.5])
    parts = draw(st.lists(st.tuples(lengths, levels), max_size=6))
    levels_of_samples = [constant(num, level) for num, level in parts]
    samples = np.concatenate([empty(), *levels_of_samples])
    signs = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), samples.size)
    signed: Samples = samples * signs
    return signed


class TestPieces:
    @settings(deadline=None)
    @given(
        samples=chunks(),
        sizes=st.lists(st.sampled_from([0, 1, 7, 119, 120, 240, 241, 2048, 5000]), min_size=1),
    )
    def test_pieces_give_the_samples_of_the_whole(self, samples: Samples, sizes: list[int]) -> None:
        trimmer = EdgeTrimmer(sample_rate=RATE)
        edges = [0, *np.cumsum(sizes).tolist(), samples.size]
        pieces = [trimmer.feed(samples[start:end]) for start, end in pairwise(edges)]
        np.testing.assert_array_equal(np.concatenate([*pieces, trimmer.flush()]), smooth(samples))

    def test_samples_released_before_they_are_measured_count(self) -> None:
        """Speech was cut off if its window had begun in samples that were released already."""
        samples = chunk(0, 10_080, 24_000)
        trimmer = EdgeTrimmer(sample_rate=RATE)
        pieces = [trimmer.feed(samples[start : start + 6144]) for start in range(0, 34_080, 6144)]
        assert sum(piece.size for piece in (*pieces, trimmer.flush())) == 10_080 + TAIL

    @settings(deadline=None)
    @given(samples=chunks())
    def test_the_result_equals_that_of_the_whole_chunk(self, samples: Samples) -> None:
        np.testing.assert_array_equal(smooth(samples), trimmed_and_faded(samples))

    def test_certain_samples_are_returned_immediately(self) -> None:
        """Only the length of a fade is held back, because it may be the end."""
        trimmer = EdgeTrimmer(sample_rate=RATE)
        released = [trimmer.feed(constant(2048)).size for _ in range(4)]
        assert released == [2048 - FADE, 2048, 2048, 2048]
        assert trimmer.flush().size == FADE

    def test_nothing_is_returned_before_speech_begins(self) -> None:
        trimmer = EdgeTrimmer(sample_rate=RATE)
        assert [trimmer.feed(constant(2048, 0.0)).size for _ in range(12)] == [0] * 12
        # The window of the first loud sample began 96 samples before it.
        assert trimmer.feed(constant(2048)).size == LEAD + 96 + 2048 - FADE

    def test_a_pause_is_held_back_when_it_becomes_too_long(self) -> None:
        """It is trimmed if it turns out to be at the end, and kept whole between two words."""
        trimmer = EdgeTrimmer(sample_rate=RATE)
        assert trimmer.feed(constant(2400)).size == 2400 - FADE
        released = [trimmer.feed(constant(2400, 0.0)).size for _ in range(5)]
        assert released == [2400, 2400, 2400, 0, 0]
        assert trimmer.feed(constant(2400)).size == 2 * 2400 + 2400
        assert trimmer.flush().size == FADE

    @pytest.mark.parametrize(("num_samples", "num_released"), [(239, 0), (240, 120), (241, 121)])
    def test_nothing_is_returned_before_the_length_of_the_fade_is_certain(
        self, num_samples: int, num_released: int
    ) -> None:
        trimmer = EdgeTrimmer(sample_rate=RATE)
        assert trimmer.feed(constant(num_samples)).size == num_released
        assert trimmer.flush().size == num_samples - num_released

    def test_an_early_end_is_faded_too(self) -> None:
        trimmer = EdgeTrimmer(sample_rate=RATE)
        trimmer.feed(constant(2048, 1.0))
        assert trimmer.flush() == pytest.approx(RAMP[::-1])


class TestLength:
    @pytest.mark.parametrize(
        ("num_lead", "num_tail", "kept_lead", "kept_tail"),
        [
            (0, 0, 0, 0),
            (LEAD, TAIL, LEAD, TAIL),
            (24_000, 24_000, LEAD, TAIL),
            (24_000, 0, LEAD, 0),
            (0, 24_000, 0, TAIL),
            (2400, 2400, 2400, 2400),
            (1200, 480, 1200, 480),
        ],
    )
    def test_long_silence_at_the_ends_is_trimmed(
        self, num_lead: int, num_tail: int, kept_lead: int, kept_tail: int
    ) -> None:
        """canopyai#299: 600 ms of near silence before the first word."""
        released = smooth(chunk(num_lead, 4800, num_tail))
        assert released.size == kept_lead + 4800 + kept_tail
        expected = chunk(kept_lead, 4800, kept_tail)
        np.testing.assert_array_equal(released[FADE:-FADE], expected[FADE:-FADE])

    def test_noise_before_speech_is_silence(self) -> None:
        noise = constant(40 * WINDOW, 0.005)
        released = smooth(np.concatenate([noise, constant(2 * WINDOW)]))
        assert released.size == LEAD + 2 * WINDOW
        assert released[LEAD:-FADE].tolist() == [0.5] * (2 * WINDOW - FADE)

    @pytest.mark.parametrize("num_samples", [0, 1, WINDOW - 1, 50 * WINDOW])
    def test_silence_alone_is_not_trimmed(self, num_samples: int) -> None:
        assert smooth(constant(num_samples, 0.005)).size == num_samples

    def test_speech_in_a_last_partial_window_is_kept(self) -> None:
        """Only whole windows were measured, so the last 10 ms of a word could be cut off."""
        samples = np.concatenate([chunk(0, WINDOW, 50 * WINDOW), constant(WINDOW - 1)])
        released = smooth(samples)
        assert released.size == samples.size
        np.testing.assert_array_equal(released[FADE:-FADE], samples[FADE:-FADE])


class TestFade:
    def test_both_edges_fade_to_zero(self) -> None:
        released = smooth(constant(480, 1.0))
        assert released[:FADE] == pytest.approx(RAMP)
        assert released[FADE:-FADE].tolist() == [1.0] * 240
        assert released[-FADE:] == pytest.approx(RAMP[::-1])
        assert released[0] == released[-1] == 0.0

    @pytest.mark.parametrize(
        ("num_samples", "expected"),
        [(0, []), (1, [1.0]), (2, [0.0, 0.0]), (4, [0.0, 0.5, 0.5, 0.0]), (3, [0.0, 1.0, 0.0])],
    )
    def test_few_samples(self, num_samples: int, expected: list[float]) -> None:
        assert smooth(constant(num_samples, 1.0)).tolist() == expected

    def test_the_fade_falls_into_existing_silence(self) -> None:
        released = smooth(chunk(24_000, 4800, 24_000))
        assert released[LEAD:-TAIL].tolist() == [0.5] * 4800

    def test_the_input_is_not_modified(self) -> None:
        samples = constant(480)
        smooth(samples)
        assert samples.tolist() == [0.5] * 480

    def test_chunks_in_a_row_have_no_step(self) -> None:
        joined = np.concatenate([smooth(chunk(24_000, 4800, 0)), smooth(chunk(0, 2400, 24_000))])
        assert joined.dtype == np.float32
        assert joined.size == LEAD + 4800 + 2400 + TAIL
        # No step is larger than those of the fade; a join without a fade would step by 0.5.
        assert np.abs(np.diff(joined)[LEAD:-TAIL]).max() == pytest.approx(0.5 / FADE, rel=1e-4)


def test_a_chunk_without_samples() -> None:
    trimmer = EdgeTrimmer(sample_rate=RATE)
    assert (trimmer.feed(empty()).size, trimmer.flush().size) == (0, 0)
    assert smooth(empty()).dtype == np.float32


@pytest.mark.parametrize(
    ("tail", "num_silent", "kept"),
    [
        (Tail(max_sec=0.1), 0, 0),
        (Tail(max_sec=0.1), 1200, 1200),
        (Tail(max_sec=0.1), 24_000, 2400),
        (Tail(max_sec=0.5, min_sec=0.5), 0, 12_000),
        (Tail(max_sec=0.5, min_sec=0.5), 2400, 12_000),
        (Tail(max_sec=0.5, min_sec=0.5), 24_000, 12_000),
    ],
)
@pytest.mark.parametrize("size", [100, 2048, 50_000])
def test_the_silence_after_speech(tail: Tail, num_silent: int, kept: int, size: int) -> None:
    samples = chunk(0, 24_000, num_silent)
    trimmer = EdgeTrimmer(sample_rate=RATE, tail=tail)
    pieces = [trimmer.feed(samples[at : at + size]) for at in range(0, samples.size, size)]
    trimmed = np.concatenate([*pieces, trimmer.flush()])
    assert trimmed.size == 24_000 + kept
    assert not trimmed[24_000:].any()


def test_a_chunk_without_speech_is_not_filled_up() -> None:
    trimmer = EdgeTrimmer(sample_rate=RATE, tail=Tail(max_sec=0.5, min_sec=0.5))
    trimmer.feed(constant(2400, 0.0))
    assert trimmer.flush().size == 2400

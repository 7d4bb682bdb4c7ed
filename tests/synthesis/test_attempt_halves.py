"""The joined result of a split attempt."""

import math

import pytest

from orpheus_server.interfaces import Frame
from orpheus_server.synthesis.attempt import Attempt, join_halves
from orpheus_server.synthesis.guard import Fault, Verdict


class TestJoinHalves:
    def half(self, num_frames: int, verdict: Verdict | None = None) -> Attempt:
        frames: list[Frame] = [(index,) * 7 for index in range(num_frames)]
        return Attempt(
            frames,
            expected_frames=15.0,
            num_prompt_tokens=10,
            num_output_tokens=7 * num_frames,
            num_dropped_symbols=1,
            verdict=verdict,
        )

    def test_two_good_halves(self) -> None:
        whole = join_halves(self.half(15), self.half(14))
        assert whole.verdict is None
        assert whole.num_good_frames == 29
        assert (whole.expected_frames, whole.num_prompt_tokens) == (30.0, 20)
        assert (whole.num_output_tokens, whole.num_dropped_symbols) == (203, 2)

    @pytest.mark.parametrize(
        ("first", "second", "num_good_frames", "detail"),
        [
            (Verdict(Fault.LOOP, 6, "a"), None, (6, 14), "half of the text: a"),
            (None, Verdict(Fault.LOOP, 4, "b"), (15, 4), "half of the text: b"),
            (
                Verdict(Fault.LOOP, 6, "a"),
                Verdict(Fault.LOOP, 4, "b"),
                (6, 4),
                "half of the text: a",
            ),
        ],
    )
    def test_the_good_frames_of_each_half_are_kept(
        self,
        first: Verdict | None,
        second: Verdict | None,
        num_good_frames: tuple[int, int],
        detail: str,
    ) -> None:
        """A fault in the first half discarded the second: half of the text was never heard."""
        whole = join_halves(self.half(15, first), self.half(14, second))
        assert whole.verdict == Verdict(Fault.LOOP, sum(num_good_frames), detail)
        frames = [*range(num_good_frames[0]), *range(num_good_frames[1])]
        assert [frame[0] for frame in whole.frames] == frames

    @pytest.mark.parametrize(
        ("num_frames", "closeness"),
        [(30, 0.0), (15, -math.log(2)), (60, -math.log(2)), (0, -math.inf)],
    )
    def test_closeness_treats_too_long_like_too_short(
        self, num_frames: int, closeness: float
    ) -> None:
        attempt = Attempt([(0,) * 7] * num_frames, expected_frames=30.0)
        assert attempt.closeness == pytest.approx(closeness)

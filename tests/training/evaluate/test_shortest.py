"""The line below which speech is too short for its text."""

from random import Random

import pytest

from tests.training.evaluate.recorded import item
from training.evaluate.checks import Heard
from training.evaluate.shortest import FRAME_SEC, Length, fit_shortest, fit_voices, lengths_by_voice


def lengths(num: int = 500, *, spread: float = 0.1) -> list[Length]:
    """Speech that takes 0.2 s and 0.9 of the expected time, more or less."""
    rng = Random(1)
    return [
        Length(expected, (0.2 + 0.9 * expected) * rng.uniform(1 - spread, 1 + spread))
        for expected in (rng.uniform(0.3, 6.0) for _ in range(num))
    ]


def shortest_sec(fit: dict[str, float], length: Length) -> float:
    return fit["share"] * length.expected_sec + fit["sec"]


def test_no_good_utterance_is_below_the_line_and_every_half_is() -> None:
    fit = fit_shortest(lengths())
    assert fit is not None
    for length in lengths():
        assert length.sec > shortest_sec(fit, length)
        if length.expected_sec > 1.0:
            assert 0.55 * length.sec < shortest_sec(fit, length)


def test_a_few_recordings_that_ended_early_do_not_lower_it() -> None:
    cut = [Length(each.expected_sec, 0.4 * each.sec) for each in lengths(4)]
    fit, other = fit_shortest(lengths()), fit_shortest([*lengths(), *cut])
    assert fit is not None
    assert other is not None
    assert shortest_sec(other, Length(3.0, 3.0)) == pytest.approx(
        shortest_sec(fit, Length(3.0, 3.0)), rel=0.03
    )


def test_too_few_lengths_give_no_line() -> None:
    assert fit_shortest(lengths(59)) is None


def test_only_good_recordings_count() -> None:
    result = {"faults": [], "num_frames": 10, "num_pieces": 1, "expected_sec": 0.9}
    good = Heard(item("a/0/tara", text="Yes, I know."), result, "yes I know")
    others = [
        Heard(good.item, result, "yes"),
        Heard(good.item, {**result, "faults": ["loop"]}, good.heard),
        Heard(good.item, {**result, "num_pieces": 2}, good.heard),
    ]
    assert lengths_by_voice([good, *others]) == {"tara": [Length(0.9, 10 * FRAME_SEC)]}
    assert fit_voices([good]) == {}

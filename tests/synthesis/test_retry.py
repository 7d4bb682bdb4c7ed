"""The settings of each attempt, and seeds that are derived from seeds."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.interfaces import SamplingOptions
from orpheus_server.synthesis.retry import RetryPolicy, derive_seed

BASE = SamplingOptions(
    temperature=0.6, top_p=0.9, repetition_penalty=1.1, top_k=40, min_p=0.05, max_tokens=700
)
DEFAULT = SamplingOptions(temperature=0.6, top_p=0.9, repetition_penalty=1.1)
POLICY = RetryPolicy(max_attempts=5, default=DEFAULT)


@pytest.mark.parametrize(
    ("number", "top_p", "is_split"),
    [(1, 0.9, False), (2, 0.9, False), (3, 0.9, False), (4, 0.81, True), (5, 0.81, True)],
)
def test_the_settings_of_each_attempt(number: int, top_p: float, is_split: bool) -> None:
    """Earlier servers multiplied temperature and penalty by 1.15: the voice changed its pace."""
    plan = POLICY.plan(number, BASE)
    assert plan.number == number
    assert plan.is_split is is_split
    assert plan.sampling.top_p == pytest.approx(top_p)
    unchanged = ("temperature", "repetition_penalty", "top_k", "min_p", "max_tokens")
    for name in unchanged:
        assert getattr(plan.sampling, name) == getattr(BASE, name)


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_k": 1}])
def test_greedy_retries_sample(change: dict[str, Any]) -> None:
    """Greedy decoding has one outcome: five attempts were the same attempt five times."""
    greedy = replace(DEFAULT, **change)
    plans = [POLICY.plan(number, greedy).sampling for number in range(1, 6)]
    assert plans == [greedy, DEFAULT, DEFAULT, *[replace(DEFAULT, top_p=0.9 * 0.9)] * 2]


@pytest.mark.parametrize(
    ("seed", "path", "expected"),
    [
        (0, (), 4_246_866_556_266_386_882),
        (0, (0,), 3_560_153_452_049_741_418),
        (1, (0, 1), 741_161_445_924_672_772),
        (42, (3, 2), 6_463_483_667_762_970_783),
        (-1, (), 8_286_699_972_902_792_079),
        (2**63 - 1, (7,), 3_008_039_791_072_358_876),
    ],
)
def test_derived_seeds_never_change(seed: int, path: tuple[int, ...], expected: int) -> None:
    """A different value would change the audio of every caller's seed."""
    assert derive_seed(seed, *path) == expected


@given(st.integers(), st.lists(st.integers(0, 99), max_size=3))
def test_a_derived_seed_fits_63_bits(seed: int, path: list[int]) -> None:
    assert 0 <= derive_seed(seed, *path) < 2**63


def test_derived_seeds_differ() -> None:
    paths = [(), *((chunk,) for chunk in range(50))]
    paths += [(chunk, attempt) for chunk in range(50) for attempt in range(1, 6)]
    seeds = {derive_seed(seed, *path) for seed in (0, 1, -1, 11) for path in paths}
    assert len(seeds) == 4 * len(paths)


def test_the_digits_of_a_path_are_not_joined() -> None:
    assert (
        len({derive_seed(1, 23), derive_seed(12, 3), derive_seed(123), derive_seed(1, 2, 3)}) == 4
    )

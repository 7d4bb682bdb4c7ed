"""Sampling options: which values of a request replace the defaults."""

import pytest

from orpheus_server.interfaces import RequestedSampling, SamplingOptions

DEFAULT = SamplingOptions(0.6, 0.9, 1.1, top_k=50, min_p=0.05, max_tokens=1200)


def test_requested_values_replace_the_defaults() -> None:
    assert DEFAULT.overridden_by(
        temperature=1.0, top_p=0.5, repetition_penalty=1.3, top_k=10, min_p=0.1, max_tokens=70
    ) == SamplingOptions(1.0, 0.5, 1.3, top_k=10, min_p=0.1, max_tokens=70)


def test_zero_is_a_value() -> None:
    assert DEFAULT.overridden_by(
        temperature=0.0, top_p=0.0, repetition_penalty=0.0, top_k=0, min_p=0.0, max_tokens=0
    ) == SamplingOptions(0.0, 0.0, 0.0, top_k=0, min_p=0.0, max_tokens=0)


@pytest.mark.parametrize(
    "requested", [{}, dict.fromkeys(RequestedSampling.__annotations__)], ids=["left out", "None"]
)
def test_none_keeps_the_default(requested: RequestedSampling) -> None:
    assert DEFAULT.overridden_by(**requested) == DEFAULT


def test_every_option_can_be_requested() -> None:
    assert set(RequestedSampling.__annotations__) == set(SamplingOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("options", "is_greedy"),
    [
        (DEFAULT, False),
        (DEFAULT.overridden_by(temperature=0.0), True),
        (DEFAULT.overridden_by(top_p=0.0), True),
        (DEFAULT.overridden_by(top_k=1), True),
        (DEFAULT.overridden_by(top_k=0), False),
    ],
)
def test_greedy(options: SamplingOptions, is_greedy: bool) -> None:
    assert options.is_greedy is is_greedy

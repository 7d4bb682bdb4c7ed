"""Penalties and the choice of an id, with exact values."""

import math
from typing import Any

import pytest
import torch

from orpheus_server.engine.token_sampling import (
    choose,
    has_penalty,
    penalise,
    sampling_columns,
)
from orpheus_server.interfaces import SamplingOptions, TokenRequest

CPU = torch.device("cpu")
# The probabilities 0.5, 0.125, 0.25 and 0.125.
LOGITS = [math.log(each) for each in (0.5, 0.125, 0.25, 0.125)]


def request(*, presence: float = 0.0, frequency: float = 0.0, **options: Any) -> TokenRequest:
    sampling = SamplingOptions(
        **{"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, **options}
    )
    return TokenRequest("r", (1,), sampling, 1, None, presence, frequency)


def chosen(uniforms: list[float], *requests: TokenRequest) -> list[int]:
    """Chooses from the same logits for each random number; a single request is for all rows."""
    rows = list(requests) * (len(uniforms) if len(requests) == 1 else 1)
    logits = torch.tensor([LOGITS] * len(rows))
    uniform = torch.tensor(uniforms).unsqueeze(1)
    result: list[int] = choose(logits, sampling_columns(rows, CPU), uniform).tolist()
    return result


def test_the_choice_is_where_the_number_falls_from_the_likeliest_down() -> None:
    """In order: 0 up to 0.5, 2 up to 0.75, then 1 and 3."""
    uniforms = [0.0, 0.49, 0.51, 0.74, 0.76, 0.86, 0.88, 0.9999]
    assert chosen(uniforms, request()) == [0, 0, 2, 2, 1, 1, 3, 3]


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    assert chosen([0.66, 0.68, 0.999], request(top_p=0.7)) == [0, 2, 2]
    assert chosen([0.0, 0.999], request(top_p=0.49)) == [0, 0]


def test_top_k_and_min_p_leave_out_the_unlikely() -> None:
    assert chosen([0.66, 0.68, 0.999], request(top_k=2)) == [0, 2, 2]
    assert chosen([0.66, 0.68, 0.999], request(min_p=0.4)) == [0, 2, 2]
    assert chosen([0.999], request(top_k=100)) == [3]


def test_candidates_that_tie_with_the_last_of_top_k_stay() -> None:
    assert chosen([0.9999], request(top_k=3)) == [3]


def test_temperature_sharpens() -> None:
    """At 0.5 the probabilities are squared: 16/22, 1/22, 4/22, 1/22."""
    uniforms = [15.9 / 22, 16.1 / 22, 19.9 / 22, 20.1 / 22]
    assert chosen(uniforms, request(temperature=0.5)) == [0, 2, 2, 1]


def test_greedy_rows_beside_random_ones() -> None:
    greedy = [request(temperature=0.0), request(top_p=0.0), request(top_k=1)]
    assert chosen([0.99] * 4, *greedy, request()) == [0, 0, 0, 3]
    assert chosen([0.99], request(temperature=1e-6)) == [0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_reported(temperature: float) -> None:
    logits = torch.tensor([LOGITS, [math.nan] * 4, [0.0, math.nan, 0.0, 0.0]])
    columns = sampling_columns([request(temperature=temperature)] * 3, CPU)
    assert choose(logits, columns, torch.zeros(3, 1)).tolist() == [0, -1, -1]


def test_blocked_candidates_are_never_chosen() -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf]])
    columns = sampling_columns([request()], CPU)
    assert choose(logits, columns, torch.tensor([[0.999999]])).tolist() == [1]


def test_the_repetition_penalty_divides_positive_logits_and_multiplies_negative_ones() -> None:
    columns = sampling_columns([request(repetition_penalty=2.0), request()], CPU)
    logits = torch.tensor([[4.0, -4.0, 4.0, 4.0]] * 2)
    in_prompt = torch.tensor([[True, True, False, False]] * 2)
    in_output = torch.tensor([[1.0, 0.0, 3.0, 0.0]] * 2)
    expected = [[2.0, -8.0, 2.0, 4.0], [4.0, -4.0, 4.0, 4.0]]
    assert penalise(logits, in_prompt, in_output, columns).tolist() == expected


def test_presence_and_frequency_count_the_output_only() -> None:
    columns = sampling_columns([request(presence=0.5, frequency=0.25)], CPU)
    logits = torch.tensor([[1.0, 1.0, 1.0]])
    in_prompt = torch.tensor([[True, False, False]])
    in_output = torch.tensor([[0.0, 1.0, 3.0]])
    assert penalise(logits, in_prompt, in_output, columns).tolist() == [[1.0, 0.25, -0.25]]


def test_which_requests_have_penalties() -> None:
    assert not has_penalty(request())
    assert has_penalty(request(repetition_penalty=1.1))
    assert has_penalty(request(presence=0.1))
    assert has_penalty(request(frequency=0.1))


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
def test_penalties_and_filters_are_those_of_vllm() -> None:
    from vllm.model_executor.layers.utils import apply_penalties
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    torch.manual_seed(0)
    logits = torch.randn(3, 12)
    prompt = torch.tensor([[1, 2, 3], [4, 5, 12], [1, 12, 12]])
    output = torch.tensor([[3, 3, 7], [0, 12, 12], [2, 2, 2]])
    requests = [
        request(repetition_penalty=1.3, presence=0.2, frequency=0.1),
        request(repetition_penalty=1.1),
        request(presence=-0.4, frequency=0.3),
    ]
    columns = sampling_columns(requests, CPU)
    in_prompt = torch.zeros(3, 13, dtype=torch.bool).scatter_(1, prompt, True)[:, :12]
    counts = torch.zeros(3, 13).scatter_add_(1, output, torch.ones(3, 3))[:, :12]
    ours = penalise(logits, in_prompt, counts, columns)
    theirs = apply_penalties(
        logits.clone(),
        prompt,
        output,
        columns.presence_penalty.squeeze(1),
        columns.frequency_penalty.squeeze(1),
        columns.repetition_penalty.squeeze(1),
    )
    assert torch.equal(ours, theirs)
    kept = apply_top_k_top_p(
        logits.clone(), torch.tensor([12, 4, 6]), torch.tensor([0.7, 1.0, 0.8])
    )
    filters = [request(top_p=0.7), request(top_k=4), request(top_k=6, top_p=0.8)]
    uniforms = torch.linspace(0, 0.99999, 400)
    for row, options in enumerate(filters):
        repeated = logits[row].expand(400, -1)
        columns = sampling_columns([options] * 400, CPU)
        places = choose(repeated, columns, uniforms.unsqueeze(1))
        assert set(places.tolist()) == set(torch.nonzero(kept[row].isfinite()).flatten().tolist())

"""Chooses the next id of each row from its logits; the same rules as vLLM's.

All functions take rows of logits of shape [rows, candidates], in float32, and parameters of shape
[rows, 1]. Candidates are the ids that the slot mask allows, so a step sorts 4,099 values of the
published vocabulary instead of 156,940.
"""

from dataclasses import dataclass

import torch

from orpheus_server.interfaces import TokenRequest

SMALLEST_TEMPERATURE = 1e-5
"""vLLM samples greedily below it."""

_NOTHING = float("-inf")


@dataclass(frozen=True, slots=True)
class SamplingColumns:
    """The parameters of several rows, each of shape [rows, 1].

    A flag is False if no row uses that parameter, which saves its computation.
    """

    is_greedy: torch.Tensor
    temperature: torch.Tensor
    top_p: torch.Tensor
    top_k: torch.Tensor
    log_min_p: torch.Tensor
    repetition_penalty: torch.Tensor
    presence_penalty: torch.Tensor
    frequency_penalty: torch.Tensor
    any_random: bool
    any_top_k: bool
    any_min_p: bool
    any_penalty: bool


def has_penalty(request: TokenRequest) -> bool:
    """Returns whether earlier ids change the logits of the request."""
    return (
        request.sampling.repetition_penalty != 1.0
        or request.presence_penalty != 0.0
        or request.frequency_penalty != 0.0
    )


def is_greedy(request: TokenRequest) -> bool:
    """Returns whether the likeliest id is always chosen."""
    return request.sampling.is_greedy or request.sampling.temperature < SMALLEST_TEMPERATURE


def sampling_columns(requests: list[TokenRequest], device: torch.device) -> SamplingColumns:
    """Returns the parameters of `requests`, one row for each."""
    greedy = [is_greedy(request) for request in requests]
    sampling = [request.sampling for request in requests]

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)

    return SamplingColumns(
        is_greedy=torch.tensor(greedy, device=device).unsqueeze(1),
        temperature=column(
            [
                1.0 if greedy[index] else options.temperature
                for index, options in enumerate(sampling)
            ]
        ),
        top_p=column([options.top_p for options in sampling]),
        top_k=torch.tensor(
            [options.top_k if options.top_k > 0 else 1 << 30 for options in sampling],
            device=device,
        ).unsqueeze(1),
        log_min_p=column([options.min_p for options in sampling]).log(),
        repetition_penalty=column([options.repetition_penalty for options in sampling]),
        presence_penalty=column([request.presence_penalty for request in requests]),
        frequency_penalty=column([request.frequency_penalty for request in requests]),
        any_random=not all(greedy),
        any_top_k=any(options.top_k > 0 for options in sampling),
        any_min_p=any(options.min_p > 0 for options in sampling),
        any_penalty=any(has_penalty(request) for request in requests),
    )


def penalise(
    logits: torch.Tensor,
    is_in_prompt: torch.Tensor,
    num_in_output: torch.Tensor,
    columns: SamplingColumns,
) -> torch.Tensor:
    """Returns the logits after the penalties.

    The repetition penalty divides positive logits and multiplies negative ones, for ids of the
    prompt and of the output. The other two are subtracted, for ids of the output only: the presence
    penalty once, the frequency penalty as often as the id occurs.
    """
    is_in_output = num_in_output > 0
    factor = columns.repetition_penalty
    repeated = torch.where(logits > 0, logits / factor, logits * factor)
    logits = torch.where(is_in_prompt | is_in_output, repeated, logits)
    logits = logits - columns.frequency_penalty * num_in_output
    return logits - columns.presence_penalty * is_in_output


def choose(logits: torch.Tensor, columns: SamplingColumns, uniform: torch.Tensor) -> torch.Tensor:
    """Returns the chosen candidate of each row, int64 [rows]; -1 if its logits are not numbers.

    `uniform` [rows, 1] holds a random number in [0, 1) of each row: the choice is where it falls in
    the cumulative probabilities, from the likeliest candidate down.
    """
    best, likeliest = logits.max(dim=1, keepdim=True)
    chosen = likeliest
    if columns.any_random:
        sampled = _sample(logits / columns.temperature, columns, uniform)
        chosen = torch.where(columns.is_greedy, likeliest, sampled)
    return torch.where(best.isfinite(), chosen, -1).squeeze(1)


def _sample(logits: torch.Tensor, columns: SamplingColumns, uniform: torch.Tensor) -> torch.Tensor:
    ordered, candidates = logits.sort(dim=1, descending=True, stable=True)
    if columns.any_min_p:
        is_unlikely = ordered < ordered[:, :1] + columns.log_min_p
        ordered = ordered.masked_fill(is_unlikely, _NOTHING)
    if columns.any_top_k:
        last = (columns.top_k - 1).clamp(max=ordered.shape[1] - 1)
        ordered = ordered.masked_fill(ordered < ordered.gather(1, last), _NOTHING)
    probabilities = ordered.softmax(dim=1)
    cumulative = probabilities.cumsum(dim=1)
    # A candidate is left out if those before it reach `top_p`. The first one always stays.
    is_kept = cumulative - probabilities < columns.top_p
    num_kept = is_kept.sum(dim=1, keepdim=True).clamp(min=1)
    kept_mass = cumulative.gather(1, num_kept - 1)
    place = (cumulative <= uniform * kept_mass).sum(dim=1, keepdim=True)
    return candidates.gather(1, torch.minimum(place, num_kept - 1))

"""How many steps a budget of audio tokens is."""

from pathlib import Path

from training.language_model.dataset import Dataset
from training.states import Plan, newest_step, read_plan

COOLDOWN_SHARE = 0.15
"""Share of the tokens that is seen at a falling learning rate."""

TOLERANCE = 0.2
"""A plan is kept if a new estimate of its steps differs by less than this share."""


def plan_steps(folder: Path, budget: int, *, num_tokens_seen: int, tokens_per_step: float) -> Plan:
    """Returns the plan for a budget of tokens, seen by all processes together.

    The number of steps is an estimate, since utterances differ in length. The plan of the turn
    before is kept unless the estimate has changed much, as it does with the number of processes:
    a run in turns then equals one run, and the last part is made once.
    """
    before, step = read_plan(folder), newest_step(folder)
    cooldown_tokens = budget * COOLDOWN_SHARE
    missing = max(0.0, budget - cooldown_tokens - num_tokens_seen)
    plan = Plan(
        budget=budget,
        main_steps=step + round(missing / tokens_per_step),
        cooldown_steps=max(1, round(cooldown_tokens / tokens_per_step)),
    )
    if before is None or before.budget != budget:
        return plan
    is_close = abs(plan.main_steps / max(1, before.main_steps) - 1) <= TOLERANCE
    return before if is_close or step >= before.main_steps else plan


def mean_tokens_per_step(dataset: Dataset, num_tokens: int, num_processes: int) -> float:
    """Returns the audio tokens of an average step of `num_tokens` positions in each process."""
    num_batches = num_audio_tokens = 0.0
    for length, utterances in dataset.buckets.items():
        rows = max(1, num_tokens // length)
        num_batches += len(utterances) / rows
        num_audio_tokens += sum(utterance.num_audio_tokens for utterance in utterances)
    return num_processes * num_audio_tokens / num_batches if num_batches else 1.0

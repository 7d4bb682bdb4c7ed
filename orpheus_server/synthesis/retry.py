"""The attempts at one chunk: what each retry changes, and their seeds."""

import hashlib
from dataclasses import dataclass, replace

from orpheus_server.interfaces import SamplingOptions


def derive_seed(seed: int, *path: int) -> int:
    """A 63-bit seed that is a function of `seed` and a path such as (chunk, attempt)."""
    text = ":".join(str(number) for number in (seed, *path))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """One attempt: what it samples with, and whether the text is halved."""

    number: int
    sampling: SamplingOptions
    is_split: bool


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The attempts at one chunk, in order.

    Attempts 2 and 3 only take a new seed; from 4 on `top_p` is lowered too and the chunk is cut
    in two. Temperature and repetition penalty stay: both set the pace of the speech, and a chunk
    spoken faster than its neighbours is heard. Greedy sampling has one outcome, so its retries
    sample as the checkpoint does by default.
    """

    max_attempts: int
    default: SamplingOptions
    top_p_factor: float = 0.9
    first_split_attempt: int = 4

    def plan(self, number: int, base: SamplingOptions) -> AttemptPlan:
        """What attempt `number` (from 1) at a chunk does."""
        sampling = base
        if number > 1 and base.is_greedy:
            sampling = replace(
                sampling,
                temperature=self.default.temperature,
                top_p=self.default.top_p,
                top_k=self.default.top_k,
            )
        is_split = number >= self.first_split_attempt
        if is_split:
            sampling = replace(sampling, top_p=sampling.top_p * self.top_p_factor)
        return AttemptPlan(number, sampling, is_split)

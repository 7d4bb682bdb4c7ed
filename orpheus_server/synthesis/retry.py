"""The retry policy for a chunk: what each attempt changes, and its seed."""

import hashlib
from dataclasses import dataclass, replace

from orpheus_server.interfaces import SamplingOptions


def derive_seed(seed: int, *path: int) -> int:
    """Derives a 63-bit seed from `seed` and a path such as (chunk, attempt)."""
    text = ":".join(str(number) for number in (seed, *path))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """The sampling of one attempt, and whether the text is split in two."""

    number: int
    sampling: SamplingOptions
    is_split: bool


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Plans the attempts at one chunk.

    Attempts 2 and 3 only change the seed; from attempt 4 on, `top_p` is lowered and the chunk is
    split in two. Temperature and repetition penalty stay, because both set the pace of the speech
    and a change of pace is audible. Greedy sampling has only one outcome, so its retries use the
    checkpoint's default sampling.
    """

    max_attempts: int
    default: SamplingOptions
    top_p_factor: float = 0.9
    first_split_attempt: int = 4

    def plan(self, number: int, base: SamplingOptions) -> AttemptPlan:
        """Returns the plan of attempt `number` (from 1)."""
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

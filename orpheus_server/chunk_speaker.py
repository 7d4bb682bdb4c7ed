"""One chunk of text to samples, after as many attempts as it takes."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace

from orpheus_server.attempt import Attempt, AttemptJob, AttemptRunner, join_halves
from orpheus_server.audio import Samples, empty
from orpheus_server.checkpoint import Voice
from orpheus_server.errors import ChunkFailed
from orpheus_server.guard import Fault, Verdict
from orpheus_server.sampling import AttemptPlan, RetryPolicy, SamplingOptions, derive_seed
from orpheus_server.splitting import split_in_two
from orpheus_server.tasks import run_together

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """What to say in one generation and how; ids are for the log."""

    request_id: str
    index: int
    text: str
    voice: Voice
    sampling: SamplingOptions
    seed: int | None


@dataclass(frozen=True, slots=True)
class ChunkAudio:
    """Samples of one chunk, and what they cost; `verdict` tells why they are second best.

    `num_output_tokens` counts those of every attempt.
    """

    samples: Samples
    num_prompt_tokens: int
    num_output_tokens: int
    num_dropped_symbols: int
    num_attempts: int
    verdict: Verdict | None


@dataclass(slots=True)
class AttemptCounts:
    """Attempts since the start, and retries by cause."""

    num_chunks: int = 0
    num_attempts: int = 0
    num_degraded_chunks: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)


class ChunkSpeaker:
    """Climbs the ladder of attempts at a chunk."""

    def __init__(
        self, runner: AttemptRunner, retries: RetryPolicy, *, may_be_degraded: bool
    ) -> None:
        self._runner = runner
        self._retries = retries
        self._may_be_degraded = may_be_degraded
        self.counts = AttemptCounts()

    async def speak(self, job: ChunkJob) -> ChunkAudio:
        """Samples of a chunk.

        If all attempts fail, the one whose good frames (those before its fault) come closest to
        the length expected of the text is used and marked with its verdict. Raises `ChunkFailed`
        if the server is set to want none of that or no attempt has a frame worth hearing, and
        `EngineUnavailable` at once.
        """
        self.counts.num_chunks += 1
        attempts: list[Attempt] = []
        for number in range(1, self._retries.max_attempts + 1):
            plan = self._retries.plan(number, job.sampling)
            attempt = await self._try(job, plan)
            attempts.append(attempt)
            self._record(job, plan, attempt)
            if attempt.verdict is None:
                return _finished(attempt, attempts)
        best = await self._best_of(attempts, job) if self._may_be_degraded else None
        if best is None:
            raise _all_failed(job, attempts)
        self.counts.num_degraded_chunks += 1
        return _finished(best, attempts)

    async def _best_of(self, failed: list[Attempt], job: ChunkJob) -> Attempt | None:
        """The best by the rule of `speak` whose good frames make sound; decoded only now."""
        for attempt in sorted(failed, key=lambda attempt: attempt.closeness, reverse=True):
            if attempt.num_good_frames == 0:
                return None
            if await self._runner.decode(attempt, _noise_seed(job)) is None:
                return attempt
        return None

    async def _try(self, job: ChunkJob, plan: AttemptPlan) -> Attempt:
        whole = AttemptJob(
            request_id=f"{job.request_id}-{job.index}-{plan.number}",
            text=job.text,
            voice=job.voice,
            sampling=plan.sampling,
            seed=None if job.seed is None else derive_seed(job.seed, job.index, plan.number),
            noise_seed=_noise_seed(job),
        )
        halves = split_in_two(job.text) if plan.is_split else None
        if halves is None:
            return await self._runner.run(whole)
        jobs = [
            replace(
                whole,
                request_id=f"{whole.request_id}-{half}",
                text=text,
                seed=None if whole.seed is None else derive_seed(whole.seed, half),
            )
            for half, text in enumerate(halves)
        ]
        first, second = await run_together(*(self._runner.run(half) for half in jobs))
        samples = empty()
        if first.verdict is None and second.verdict is None:
            samples = await self._runner.join(first.samples, second.samples)
        return join_halves(first, second, samples)

    def _record(self, job: ChunkJob, plan: AttemptPlan, attempt: Attempt) -> None:
        verdict = attempt.verdict
        self.counts.num_attempts += 1
        if verdict is not None:
            self.counts.faults[verdict.fault] += 1
        logger.log(
            logging.DEBUG if verdict is None else logging.INFO,
            "request=%s chunk=%d attempt=%d fault=%s frames=%d good=%d expected=%.0f tokens=%d "
            "temperature=%.2f top_p=%.2f split=%s (%s)",
            job.request_id,
            job.index,
            plan.number,
            verdict.fault if verdict else "none",
            len(attempt.frames),
            attempt.num_good_frames,
            attempt.expected_frames,
            attempt.num_output_tokens,
            plan.sampling.temperature,
            plan.sampling.top_p,
            plan.is_split,
            verdict.detail if verdict else "good",
        )


def _noise_seed(job: ChunkJob) -> int:
    return derive_seed(job.seed or 0, job.index)


def _all_failed(job: ChunkJob, failed: list[Attempt]) -> ChunkFailed:
    verdict = failed[-1].verdict
    cause = f"{verdict.fault}: {verdict.detail}" if verdict else "unknown"
    return ChunkFailed(
        f"part {job.index + 1} of the text could not be spoken in {len(failed)} attempts "
        f"(last cause: {cause})"
    )


def _finished(used: Attempt, attempts: list[Attempt]) -> ChunkAudio:
    return ChunkAudio(
        samples=used.samples,
        num_prompt_tokens=used.num_prompt_tokens,
        num_output_tokens=sum(attempt.num_output_tokens for attempt in attempts),
        num_dropped_symbols=used.num_dropped_symbols,
        num_attempts=len(attempts),
        verdict=used.verdict,
    )

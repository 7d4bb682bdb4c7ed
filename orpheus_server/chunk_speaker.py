"""One chunk of text to samples, after as many attempts as it takes."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain

from orpheus_server.attempt import Attempt, AttemptJob, AttemptRunner, join_halves
from orpheus_server.audio import Samples
from orpheus_server.checkpoint import Voice
from orpheus_server.errors import ChunkFailed
from orpheus_server.guard import Fault
from orpheus_server.interfaces import Deadline
from orpheus_server.outlet import ChunkOutlet, ChunkReport
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
    deadline: Deadline


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

    async def speak(self, job: ChunkJob, outlet: ChunkOutlet) -> ChunkReport:
        """Puts the samples of a chunk into the outlet, those of the first good attempt.

        An attempt that fails after some of it was heard cannot be taken back: its good frames are
        played to their end and marked with its verdict. If all fail before, the one whose good
        frames (those before its fault) come closest to the length expected of the text is used and
        marked. Raises `ChunkFailed` if the server is set to want none of that or no attempt has a
        frame worth hearing, and `EngineUnavailable` at once.
        """
        self.counts.num_chunks += 1
        attempts: list[Attempt] = []
        for number in range(1, self._retries.max_attempts + 1):
            outlet.restart()
            plan = self._retries.plan(number, job.sampling)
            attempt = await self._try(job, plan, outlet)
            attempts.append(attempt)
            self._record(job, plan, attempt)
            if attempt.verdict is None:
                return _finished(attempt, attempts)
            if outlet.is_heard:
                break
        if outlet.is_heard:
            best = await self._conclude(attempts[-1])
        else:
            outlet.restart()
            best = await self._best_of(attempts, job, outlet)
        if best is None:
            raise _all_failed(job, attempts)
        self.counts.num_degraded_chunks += 1
        return _finished(best, attempts)

    async def _conclude(self, failed: Attempt) -> Attempt | None:
        if not self._may_be_degraded:
            return None
        await self._runner.conclude(failed)
        return failed

    async def _best_of(
        self, failed: list[Attempt], job: ChunkJob, outlet: ChunkOutlet
    ) -> Attempt | None:
        """The best by the rule of `speak` whose good frames make sound; decoded only now."""
        if not self._may_be_degraded:
            return None
        for attempt in sorted(failed, key=lambda attempt: attempt.closeness, reverse=True):
            if attempt.num_good_frames == 0:
                return None
            pieces: list[Samples] = []
            if await self._runner.decode(attempt, _attempt_job(job), pieces.append) is None:
                for samples in pieces:
                    outlet.put(samples)
                return attempt
        return None

    async def _try(self, job: ChunkJob, plan: AttemptPlan, outlet: ChunkOutlet) -> Attempt:
        whole = replace(
            _attempt_job(job),
            request_id=f"{job.request_id}-{job.index}-{plan.number}",
            sampling=plan.sampling,
            seed=None if job.seed is None else derive_seed(job.seed, job.index, plan.number),
        )
        halves = split_in_two(job.text) if plan.is_split else None
        if halves is None:
            return await self._runner.run(whole, outlet.put)
        pieces: tuple[list[Samples], list[Samples]] = ([], [])
        jobs = [
            replace(
                whole,
                request_id=f"{whole.request_id}-{half}",
                text=text,
                seed=None if whole.seed is None else derive_seed(whole.seed, half),
            )
            for half, text in enumerate(halves)
        ]
        first, second = await run_together(
            *(
                self._runner.run(half, its_pieces.append)
                for half, its_pieces in zip(jobs, pieces, strict=True)
            )
        )
        attempt = join_halves(first, second)
        if attempt.verdict is None:
            for samples in chain(*pieces):
                outlet.put(samples)
        return attempt

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


def _attempt_job(job: ChunkJob) -> AttemptJob:
    return AttemptJob(
        request_id=job.request_id,
        text=job.text,
        voice=job.voice,
        sampling=job.sampling,
        seed=job.seed,
        noise_seed=derive_seed(job.seed or 0, job.index),
        deadline=job.deadline,
    )


def _all_failed(job: ChunkJob, failed: list[Attempt]) -> ChunkFailed:
    verdict = failed[-1].verdict
    cause = f"{verdict.fault}: {verdict.detail}" if verdict else "unknown"
    return ChunkFailed(
        f"part {job.index + 1} of the text could not be spoken in {len(failed)} attempts "
        f"(last cause: {cause})"
    )


def _finished(used: Attempt, attempts: list[Attempt]) -> ChunkReport:
    return ChunkReport(
        num_prompt_tokens=used.num_prompt_tokens,
        num_output_tokens=sum(attempt.num_output_tokens for attempt in attempts),
        num_dropped_symbols=used.num_dropped_symbols,
        num_attempts=len(attempts),
        verdict=used.verdict,
    )

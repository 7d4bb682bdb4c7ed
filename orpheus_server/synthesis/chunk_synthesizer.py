"""Synthesises one chunk of text, with retries."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain

from orpheus_server.concurrency import WorkerPool, run_together
from orpheus_server.errors import ChunkFailed
from orpheus_server.interfaces import Deadline, Samples
from orpheus_server.synthesis.attempt import Attempt, AttemptJob, AttemptRunner, join_halves
from orpheus_server.synthesis.attempt_audio import ResumePoint
from orpheus_server.synthesis.chunk_buffer import ChunkBuffer
from orpheus_server.synthesis.chunk_scheduler import FreeTurn, Turn
from orpheus_server.synthesis.guard import Fault, Verdict
from orpheus_server.synthesis.job import ChunkReport, SpeechParams
from orpheus_server.synthesis.retry import AttemptPlan, RetryPolicy, derive_seed
from orpheus_server.synthesis.rollback import cut_off, is_flaw_heard, roll_back
from orpheus_server.text.front_end import FrontEnd, PreparedText, front_end_for
from orpheus_server.text.splitting import split_in_two

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """A chunk to speak, and how. `request_id` and `index` identify it in log and engine.

    All its generations run inside of `turn`.
    """

    request_id: str
    index: int
    chunk: PreparedText
    params: SpeechParams
    deadline: Deadline
    turn: Turn = field(default_factory=FreeTurn)


@dataclass(slots=True)
class AttemptCounts:
    """Counts since the start: chunks, attempts, faults by kind, and rollbacks by their fault."""

    num_chunks: int = 0
    num_attempts: int = 0
    num_degraded_chunks: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    rollbacks: Counter[Fault] = field(default_factory=Counter)


class ChunkSynthesizer:
    """Runs attempts at a chunk, as the retry policy plans them, until one is good."""

    def __init__(
        self,
        runner: AttemptRunner,
        front_end: FrontEnd,
        pool: WorkerPool,
        retries: RetryPolicy,
        *,
        may_be_degraded: bool,
    ) -> None:
        self._runner = runner
        self._front_end = front_end
        self._pool = pool
        self._retries = retries
        self._may_be_degraded = may_be_degraded
        self.counts = AttemptCounts()

    async def speak(self, job: ChunkJob, buffer: ChunkBuffer) -> ChunkReport:
        """Puts the samples of the first good attempt at a chunk into the buffer.

        If an attempt fails after some of its audio was sent, the next attempt resumes after the
        last good frame that can be kept, and the chunk is degraded only if the listener heard the
        fault. If no further attempt can resume, the good frames are played to their end, and the
        chunk is reported as degraded with that attempt's verdict. If all attempts fail before any
        audio was sent, the attempt whose good frames (those before its fault) are closest to the
        expected length is used, and the chunk is degraded. Raises `ChunkFailed` if the chunk could
        only be degraded and that is not allowed, or if no attempt has a usable frame. Raises
        `EngineUnavailable` without any retry.
        """
        self.counts.num_chunks += 1
        attempts: list[Attempt] = []
        resume_point: ResumePoint | None = None
        # The verdict of the first fault that the listener heard.
        flaw: Verdict | None = None
        num_rollbacks = 0
        for number in range(1, self._retries.max_attempts + 1):
            plan = self._retries.plan(number, job.params.sampling)
            attempt = await self._try(job, plan, buffer, resume_point)
            attempts.append(attempt)
            self._record(job, plan, attempt, resume_point)
            verdict = attempt.verdict
            if verdict is None:
                return self._finish(attempt, attempts, flaw)
            num_taken, untaken = buffer.num_taken, buffer.rewind()
            if not buffer.is_heard:
                attempt.audio = None
                continue
            if flaw is None and is_flaw_heard(attempt, num_taken=num_taken):
                flaw = verdict
            resume_point = None
            if number < self._retries.max_attempts and (flaw is None or self._may_be_degraded):
                resume_point = roll_back(
                    attempt, num_taken=num_taken, untaken=untaken, num_before=num_rollbacks
                )
            if resume_point is None:
                if not self._may_be_degraded:
                    break
                end = cut_off(attempt, num_taken=num_taken, untaken=untaken)
                await self._runner.conclude(_attempt_job(job), buffer.put, end)
                return self._finish(attempt, attempts, verdict)
            self.counts.rollbacks[verdict.fault] += 1
            num_rollbacks += 1
            # Frees the samples of the whole attempt: five attempts may hold half a minute each.
            attempt.audio = None
        best = None if buffer.is_heard else await self._best_of(attempts, job, buffer)
        if best is None:
            raise _chunk_failed_error(job, attempts)
        return self._finish(best, attempts, best.verdict)

    def _finish(self, used: Attempt, attempts: list[Attempt], flaw: Verdict | None) -> ChunkReport:
        self.counts.num_degraded_chunks += flaw is not None
        return ChunkReport(
            num_prompt_tokens=used.num_prompt_tokens,
            num_output_tokens=sum(attempt.num_output_tokens for attempt in attempts),
            num_dropped_symbols=used.num_dropped_symbols,
            num_attempts=len(attempts),
            verdict=flaw,
        )

    async def _best_of(
        self, failed: list[Attempt], job: ChunkJob, buffer: ChunkBuffer
    ) -> Attempt | None:
        """Returns the best failed attempt that can be decoded, with its samples in the buffer.

        `speak` defines the order.
        """
        if not self._may_be_degraded:
            return None
        for attempt in sorted(failed, key=lambda attempt: attempt.closeness, reverse=True):
            if attempt.num_good_frames == 0:
                return None
            pieces: list[Samples] = []
            if await self._runner.decode(attempt, _attempt_job(job), pieces.append) is None:
                for samples in pieces:
                    buffer.put(samples)
                return attempt
        return None

    async def _try(
        self,
        job: ChunkJob,
        plan: AttemptPlan,
        buffer: ChunkBuffer,
        resume_point: ResumePoint | None,
    ) -> Attempt:
        params, seed = job.params, job.params.seed
        if seed is not None:
            seed = derive_seed(seed, job.index, plan.number)
        whole = replace(
            _attempt_job(job),
            request_id=f"{job.request_id}-{job.index}-{plan.number}",
            params=replace(params, sampling=plan.sampling, seed=seed),
        )
        # If part of the text was heard, it is unknown where in the audio its halves meet.
        is_split = plan.is_split and resume_point is None
        halves = await self._pool.run(self._prepare_halves, job) if is_split else ()
        if not halves:
            return await self._runner.run(whole, buffer.put, resume_point)
        pieces: tuple[list[Samples], list[Samples]] = ([], [])
        jobs = [
            replace(
                whole,
                request_id=f"{whole.request_id}-{half}",
                chunk=chunk,
                params=replace(
                    whole.params, seed=None if seed is None else derive_seed(seed, half)
                ),
            )
            for half, chunk in enumerate(halves)
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
                buffer.put(samples)
        return attempt

    def _prepare_halves(self, job: ChunkJob) -> tuple[PreparedText, ...]:
        """Returns both halves, or an empty tuple if the text cannot be split."""
        halves = split_in_two(job.chunk.text)
        if halves is None:
            return ()
        is_spelled_out = job.params.is_spelled_out
        front_end = front_end_for(self._front_end, is_spelled_out=is_spelled_out)
        first, second = map(front_end.prepare, halves)
        return first, replace(second, ends_paragraph=job.chunk.ends_paragraph)

    def _record(
        self, job: ChunkJob, plan: AttemptPlan, attempt: Attempt, resume_point: ResumePoint | None
    ) -> None:
        verdict = attempt.verdict
        self.counts.num_attempts += 1
        if verdict is not None:
            self.counts.faults[verdict.fault] += 1
        logger.log(
            logging.DEBUG if verdict is None else logging.INFO,
            "request=%s chunk=%d attempt=%d fault=%s frames=%d good=%d expected=%.0f tokens=%d "
            "temperature=%.2f top_p=%.2f split=%s resumed_at=%d (%s)",
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
            plan.is_split and resume_point is None,
            len(resume_point.frames) if resume_point else 0,
            verdict.detail if verdict else "good",
        )


def _attempt_job(job: ChunkJob) -> AttemptJob:
    return AttemptJob(
        request_id=job.request_id,
        chunk=job.chunk,
        params=job.params,
        noise_seed=derive_seed(job.params.seed or 0, job.index),
        deadline=job.deadline,
        turn=job.turn,
    )


def _chunk_failed_error(job: ChunkJob, failed: list[Attempt]) -> ChunkFailed:
    verdict = failed[-1].verdict
    cause = f"{verdict.fault}: {verdict.detail}" if verdict else "unknown"
    return ChunkFailed(
        f"part {job.index + 1} of the text could not be spoken in {len(failed)} attempts "
        f"(last cause: {cause})"
    )

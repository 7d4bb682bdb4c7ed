"""One attempt at a chunk: prompt, guarded generation, and audio that is decoded meanwhile."""

import asyncio
import math
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count

from orpheus_server.audio.trimming import SENTENCE_TAIL, Tail
from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.concurrency import WorkerPool
from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import (
    Deadline,
    Frame,
    FrameDecoder,
    TokenEngine,
    TokenRequest,
)
from orpheus_server.synthesis.attempt_audio import AttemptAudio, ResumePoint, SampleSink
from orpheus_server.synthesis.chunk_scheduler import FreeTurn, Turn
from orpheus_server.synthesis.frames import FrameAssembler, to_token_ids
from orpheus_server.synthesis.guard import Fault, Guard, LengthLimits, Verdict, limits_of
from orpheus_server.synthesis.job import SpeechParams
from orpheus_server.synthesis.prompts import Prompt, PromptBuilder
from orpheus_server.text.front_end import Ending, PreparedText

MAX_TOKENS_CAP = 4096
"""Limit of a generation if the caller sets none: 49.9 s, after which Orpheus skips text."""

TAILS = {
    Ending.WORD: Tail(max_sec=0.05),
    Ending.CLAUSE: Tail(max_sec=0.1),
    Ending.SENTENCE: SENTENCE_TAIL,
    Ending.PARAGRAPH: Tail(max_sec=0.55, min_sec=0.55),
}
"""The silence after a chunk, by the pause that its text has there. The next chunk adds its lead."""

MAX_BAD_TOKEN_SHARE = 0.1
"""With a larger share of tokens in wrong slots, the realigned frames are not speech."""


@dataclass(frozen=True, slots=True)
class AttemptJob:
    """One attempt at a chunk: `params.seed` fixes the tokens, `noise_seed` the codec's noise.

    It generates inside of `turn`, and decodes the last frames after it.
    """

    request_id: str
    chunk: PreparedText
    params: SpeechParams
    noise_seed: int
    deadline: Deadline
    turn: Turn = field(default_factory=FreeTurn)


@dataclass(slots=True)
class Attempt:
    """The result of an attempt: its frames, their audio, and the fault that ended it."""

    frames: list[Frame] = field(default_factory=list)
    audio: AttemptAudio | None = None
    expected_frames: float = 1.0
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_dropped_symbols: int = 0
    verdict: Verdict | None = None

    @property
    def num_good_frames(self) -> int:
        """Number of frames before the fault, all of them if there is none."""
        return self.verdict.num_good_frames if self.verdict else len(self.frames)

    @property
    def closeness(self) -> float:
        """How close the good frames are to the expected length; -inf if there are none."""
        if self.num_good_frames == 0:
            return -math.inf
        return -abs(math.log(self.num_good_frames / self.expected_frames))


class AttemptRunner:
    """Runs attempts with one engine and one codec; keeps no state of requests.

    With `one_at_a_time` a generation never shares the engine's batch with another one, which would
    change the last bits of its logits.
    """

    def __init__(
        self,
        layout: TokenLayout,
        prompts: PromptBuilder,
        engine: TokenEngine,
        decoder: FrameDecoder,
        pool: WorkerPool,
        max_tokens_cap: int = MAX_TOKENS_CAP,
        *,
        one_at_a_time: bool = False,
    ) -> None:
        self._layout = layout
        self._prompts = prompts
        self._engine = engine
        self._decoder = decoder
        self._pool = pool
        self._max_tokens_cap = max_tokens_cap
        self._frame_sec = decoder.samples_per_frame / decoder.sample_rate
        self._exclusive: AbstractAsyncContextManager[object] = (
            asyncio.Semaphore(1) if one_at_a_time else nullcontext()
        )

    async def run(
        self, job: AttemptJob, sink: SampleSink, resume_point: ResumePoint | None = None
    ) -> Attempt:
        """Runs an attempt to its end, and passes its samples to `sink` while it runs.

        With a resume point it continues after the frames of that point. The samples of an attempt
        with a verdict lack their end, which `conclude` adds. Raises only `EngineUnavailable`.
        """
        attempt = Attempt()
        attempt.audio = self._open_audio(job, sink, resume_point)
        try:
            if resume_point is not None:
                attempt.frames.extend(resume_point.frames)
                # Before anything else, because the player has few samples left.
                attempt.verdict = await attempt.audio.resume()
                if attempt.verdict is not None:
                    return attempt
            prompt = await self._pool.run(self._prompts.build, job.chunk, job.params.voice)
            if job.chunk.expected_sec == 0.0:
                # Half of a chunk may contain nothing that the voice can say: nothing is generated.
                return Attempt(expected_frames=0.0, num_dropped_symbols=prompt.num_dropped_symbols)
            await self._generate(attempt, attempt.audio, job, prompt)
        except GenerationFailed as error:
            attempt.verdict = Verdict(Fault.ENGINE_ERROR, 0, str(error))
        return attempt

    async def conclude(self, job: AttemptJob, sink: SampleSink, resume_point: ResumePoint) -> None:
        """Passes on the remaining samples of a failed attempt that was partly heard."""
        audio = self._open_audio(job, sink, resume_point)
        if await audio.resume() or await audio.flush():
            await audio.cut()

    async def decode(self, attempt: Attempt, job: AttemptJob, sink: SampleSink) -> Verdict | None:
        """Passes on the samples of an attempt's good frames; returns a fault in them, or None."""
        audio = self._open_audio(job, sink)
        verdict = await audio.feed(attempt.frames[: attempt.num_good_frames])
        return verdict or await audio.flush()

    def _open_audio(
        self, job: AttemptJob, sink: SampleSink, resume_point: ResumePoint | None = None
    ) -> AttemptAudio:
        decoder = self._decoder
        return AttemptAudio(
            decoder.open_utterance(noise_seed=job.noise_seed, deadline=job.deadline),
            self._pool,
            sink,
            sample_rate=decoder.sample_rate,
            samples_per_frame=decoder.samples_per_frame,
            tail=TAILS[job.chunk.ending],
            resume_point=resume_point,
        )

    async def _generate(
        self, attempt: Attempt, audio: AttemptAudio, job: AttemptJob, prompt: Prompt
    ) -> None:
        limits = limits_of(job.chunk.expected_sec, self._frame_sec, job.params.voice.shortest)
        attempt.expected_frames = limits.expected
        attempt.num_prompt_tokens = prompt.num_text_tokens
        attempt.num_dropped_symbols = prompt.num_dropped_symbols
        frames = attempt.frames
        kept_ids = to_token_ids(frames, self._layout)
        own_limit = job.params.sampling.max_tokens
        available_tokens = self._engine.max_model_len - len(prompt.token_ids)
        max_tokens = min(available_tokens, own_limit or self._token_budget(limits))
        request = TokenRequest(
            request_id=job.request_id,
            prompt_token_ids=(*prompt.token_ids, *kept_ids),
            sampling=job.params.sampling,
            max_tokens=max_tokens - len(kept_ids),
            seed=job.params.seed,
        )
        assembler, guard = FrameAssembler(self._layout), Guard(limits)
        for frame in frames:
            guard.feed(frame)
        hit_limit = is_paused = False
        for number in count(1):
            async with (
                job.turn,
                self._exclusive,
                aclosing(self._engine.generate(request)) as deltas,
            ):
                async for delta in deltas:
                    attempt.num_output_tokens += len(delta.token_ids)
                    new = assembler.feed(delta.token_ids)
                    for frame in new:
                        frames.append(frame)
                        attempt.verdict = guard.feed(frame)
                        if attempt.verdict is not None:
                            return
                    if new:
                        attempt.verdict = await audio.feed(new)
                        if attempt.verdict is not None:
                            return
                    hit_limit = delta.finish_reason == "length"
                    is_paused = job.turn.must_pause and delta.finish_reason is None
                    if is_paused:
                        break
            if not is_paused:
                break
            # Continues after the last whole frame, as after a rollback.
            assembler.drop_partial()
            known_ids = to_token_ids(frames, self._layout)
            request = replace(
                request,
                request_id=f"{job.request_id}-resumed-{number}",
                prompt_token_ids=(*prompt.token_ids, *known_ids),
                max_tokens=max_tokens - len(known_ids),
            )
        # Ending at the caller's own limit is what the caller requested, and not a fault.
        if not (hit_limit and max_tokens == own_limit):
            attempt.verdict = guard.finish(hit_token_limit=hit_limit)
        attempt.verdict = attempt.verdict or _check_slots(
            assembler, len(frames) * self._layout.num_slots - len(kept_ids)
        )
        attempt.verdict = attempt.verdict or await audio.flush()

    def _token_budget(self, limits: LengthLimits) -> int:
        # One frame more than the guard allows, so that a runaway is not reported as a token limit.
        num_tokens = (math.ceil(limits.longest) + 1) * self._layout.num_slots
        return min(num_tokens, self._max_tokens_cap)


def join_halves(first: Attempt, second: Attempt) -> Attempt:
    """Joins the attempts at the halves of a text into one attempt.

    Only the good frames of a half with a fault are kept.
    """
    good = [half.frames[: half.num_good_frames] for half in (first, second)]
    whole = Attempt(
        frames=[*good[0], *good[1]],
        expected_frames=first.expected_frames + second.expected_frames,
        num_prompt_tokens=first.num_prompt_tokens + second.num_prompt_tokens,
        num_output_tokens=first.num_output_tokens + second.num_output_tokens,
        num_dropped_symbols=first.num_dropped_symbols + second.num_dropped_symbols,
    )
    verdict = first.verdict or second.verdict
    if verdict is not None:
        detail = f"half of the text: {verdict.detail}"
        whole.verdict = Verdict(verdict.fault, len(whole.frames), detail)
    return whole


def _check_slots(assembler: FrameAssembler, num_tokens: int) -> Verdict | None:
    num_bad = assembler.num_filled + assembler.num_stray + assembler.num_other
    if num_bad > MAX_BAD_TOKEN_SHARE * max(1, num_tokens):
        return Verdict(Fault.BAD_TOKENS, 0, f"{num_bad} of {num_tokens} tokens out of place")
    return None

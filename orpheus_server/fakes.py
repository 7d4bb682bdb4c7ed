"""Fakes of the engine, the codec and the language model, for unit tests and for running the front
end faster than any engine here. A running server never uses them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from orpheus_server.audio.samples import empty
from orpheus_server.checkpoints.checkpoint import TokenLayout
from orpheus_server.concurrency import cancel_all
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.interfaces import (
    ChatModelInfo,
    Deadline,
    FinishReason,
    Frame,
    PostProcess,
    ReplyDelta,
    ReplyRequest,
    Samples,
    TokenDelta,
    TokenRequest,
    as_decoded,
)
from orpheus_server.synthesis.frames import to_token_ids


@dataclass(frozen=True, slots=True)
class Script:
    """What a scripted generation does: its ids and how it ends, or an error after `fail_at` ids.

    After `gate_at` ids it waits for `gate`; with `hangs_at_end` the last delta never arrives.
    """

    token_ids: tuple[int, ...]
    finish_reason: FinishReason = "stop"
    error: Exception | None = None
    fail_at: int = 0
    hangs_at_end: bool = False
    gate: asyncio.Event | None = None
    gate_at: int = 0

    async def pass_gate(self) -> None:
        """Waits for the gate, if there is one."""
        if self.gate is not None:
            await self.gate.wait()


def frame_ids(layout: TokenLayout, frame: Frame) -> list[int]:
    """The ids that a model generates for one frame."""
    return to_token_ids([frame], layout)


def speech_script(layout: TokenLayout, num_frames: int, *, start: int = 0) -> Script:
    """A valid utterance: frames that differ, then a stop id."""
    ids: list[int] = []
    for index in range(start, start + num_frames):
        codes = tuple((index * 31 + slot * 7) % layout.codebook_size for slot in range(7))
        ids += frame_ids(layout, codes)
    return Script((*ids, layout.stop_token_ids[0]))


class ScriptedEngine:
    """Plays the scripts queued with `enqueue`, then `default` for each further request.

    `num_aborted` counts generations that were closed or cancelled before their end. A script that
    raises `EngineDead` also ends the engine.
    """

    def __init__(
        self,
        default: Callable[[TokenRequest], Script],
        *,
        max_model_len: int = 8192,
        delta_size: int = 7,
    ) -> None:
        self._default = default
        self._queue: deque[Script] = deque()
        self._delta_size = delta_size
        self.max_model_len = max_model_len
        self.num_active = 0
        self.max_active = 0
        self.is_alive = True
        self.kv_cache_share = 0.0
        self.requests: list[TokenRequest] = []
        self.num_aborted = 0

    def enqueue(self, *scripts: Script) -> None:
        """Scripts for the next requests, in order."""
        self._queue.extend(scripts)

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """The ids of the next script, `delta_size` at a time and at most `max_tokens` in total."""
        self.requests.append(request)
        num_tokens = len(request.prompt_token_ids) + request.max_tokens
        if request.max_tokens < 1 or num_tokens > self.max_model_len:
            raise GenerationFailed(f"{num_tokens} tokens do not fit")
        script = self._queue.popleft() if self._queue else self._default(request)
        self.num_active += 1
        self.max_active = max(self.max_active, self.num_active)
        is_ended = False
        try:
            async with aclosing(self._play(script, request.max_tokens)) as deltas:
                async for delta in deltas:
                    is_ended = delta.finish_reason is not None
                    yield delta
        except (EngineDead, GenerationFailed) as error:
            is_ended = True
            self.is_alive = self.is_alive and not isinstance(error, EngineDead)
            raise
        finally:
            self.num_active -= 1
            self.num_aborted += not is_ended

    async def _play(self, script: Script, max_tokens: int) -> AsyncGenerator[TokenDelta, None]:
        ids = script.token_ids[:max_tokens]
        is_whole = len(ids) == len(script.token_ids)
        reason = script.finish_reason if is_whole else "length"
        for start in range(0, len(ids), self._delta_size):
            await asyncio.sleep(0)
            if start >= script.gate_at:
                await script.pass_gate()
            if script.error is not None and start >= script.fail_at:
                raise script.error
            part = ids[start : start + self._delta_size]
            is_last = start + len(part) == len(ids)
            if is_last and is_whole and script.hangs_at_end:
                await asyncio.Event().wait()
            yield TokenDelta(part, reason if is_last and script.error is None else None)
        await script.pass_gate()
        if script.error is not None:
            raise script.error

    def kill(self) -> None:
        """Marks the engine as dead; its generations hang, as with a stopped process."""
        self.is_alive = False

    async def close(self) -> None:
        """Ends the engine."""
        self.is_alive = False


class PacedEngine:
    """Generates the tokens of all streams at one rate, one delta per frame, like a loaded engine.

    All streams share the steps, and a stream's frames can end in any step, so the deltas of many
    streams are spread over time. Each generation is `num_frames` valid frames long. Use it as a
    context manager: its clock is a task.
    """

    def __init__(
        self, layout: TokenLayout, *, tokens_per_sec: float, num_frames: int, max_model_len: int
    ) -> None:
        script = speech_script(layout, num_frames).token_ids
        size = layout.num_slots
        self._deltas = [
            TokenDelta(script[start : start + size], None) for start in range(0, len(script), size)
        ]
        # The stop id is in the delta of the last frame.
        last = self._deltas.pop()
        whole = self._deltas[-1].token_ids + last.token_ids
        self._deltas[-1] = TokenDelta(whole, "stop")
        self._step_sec = 1 / tokens_per_sec
        self._num_slots = size
        self._step = 0
        self._due: list[list[asyncio.Future[None]]] = [[] for _ in range(size)]
        self._clock: asyncio.Task[None] | None = None
        self.max_model_len = max_model_len
        self.num_active = 0
        self.num_tokens = 0
        self.is_alive = True
        self.kv_cache_share = 0.0

    async def __aenter__(self) -> "PacedEngine":
        self._clock = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """The deltas, one every `num_slots` steps."""
        self.num_active += 1
        phase = self._step % self._num_slots
        loop = asyncio.get_running_loop()
        try:
            for delta in self._deltas:
                due: asyncio.Future[None] = loop.create_future()
                self._due[phase].append(due)
                await due
                self.num_tokens += len(delta.token_ids)
                yield delta
        finally:
            self.num_active -= 1

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_sec = loop.time()
        while True:
            next_sec += self._step_sec
            await asyncio.sleep(max(0.0, next_sec - loop.time()))
            self._step += 1
            phase = self._step % self._num_slots
            waiting, self._due[phase] = self._due[phase], []
            for due in waiting:
                if not due.done():
                    due.set_result(None)

    def kill(self) -> None:
        """Marks the engine as dead; it has no process to end."""
        self.is_alive = False

    async def close(self) -> None:
        """Stops the clock."""
        self.is_alive = False
        if self._clock is not None:
            await cancel_all([self._clock])


class ToneDecoder:
    """Decodes each frame to a tone whose pitch is its first code.

    Each utterance takes the next of `results`, if any: samples to return instead of the tones, an
    exception for `feed` to raise, or None for tones. `calls` records the number of frames and the
    seed of each flushed utterance.
    """

    sample_rate = 24_000
    samples_per_frame = 2048

    def __init__(self) -> None:
        self.results: deque[Samples | Exception | None] = deque()
        self.calls: list[tuple[int, int]] = []

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> "ToneUtterance":
        """An utterance of tones, or of the next of `results`."""
        result = self.results.popleft() if self.results else None
        return ToneUtterance(self, noise_seed, result)

    async def close(self) -> None:
        """Does nothing."""


class ToneUtterance:
    """Returns a frame's samples as soon as it is fed, or `result` when it is flushed."""

    def __init__(
        self, decoder: ToneDecoder, noise_seed: int, result: Samples | Exception | None
    ) -> None:
        self._decoder = decoder
        self._noise_seed = noise_seed
        self._result = result
        self._num_frames = 0

    async def feed(
        self, frames: Sequence[Frame], post_process: PostProcess = as_decoded
    ) -> Samples:
        """One tone per frame."""
        self._num_frames += len(frames)
        if isinstance(self._result, Exception):
            raise self._result
        if self._result is not None or not frames:
            return empty()
        decoder = self._decoder
        time_sec = np.arange(decoder.samples_per_frame) / decoder.sample_rate
        tones = [0.3 * np.sin(2 * np.pi * (200 + frame[0]) * time_sec) for frame in frames]
        return post_process(np.concatenate(tones).astype(np.float32))

    def skip(self, frames: Sequence[Frame]) -> int:
        """Counts frames whose samples the caller already has; returns their number of samples."""
        self._num_frames += len(frames)
        return len(frames) * self._decoder.samples_per_frame

    async def flush(self, post_process: PostProcess = as_decoded) -> Samples:
        """No samples, or the result."""
        self._decoder.calls.append((self._num_frames, self._noise_seed))
        return post_process(self._result) if isinstance(self._result, np.ndarray) else empty()


@dataclass(frozen=True, slots=True)
class ReplyScript:
    """What a scripted language model does: texts, one per delta, and how it ends.

    It waits for `gate` before the delta with index `gate_at`, and raises `error` instead of ending.
    With `finish_reason` None the reply breaks off.
    """

    texts: tuple[str, ...]
    finish_reason: FinishReason | None = "stop"
    error: Exception | None = None
    gate: asyncio.Event | None = None
    gate_at: int = 0


class ScriptedChatModel:
    """Plays the scripts queued with `enqueue`, then `default` for each further request.

    `num_aborted` counts replies that were closed or cancelled before their end.
    """

    def __init__(self, default: ReplyScript) -> None:
        self.info = ChatModelInfo(name="scripted", provider="fakes")
        self.num_active = 0
        self.is_alive = True
        self.requests: list[ReplyRequest] = []
        self.num_aborted = 0
        self._default = default
        self._queue: deque[ReplyScript] = deque()

    def enqueue(self, *scripts: ReplyScript) -> None:
        """Scripts for the next requests, in order."""
        self._queue.extend(scripts)

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyDelta, None]:
        """The deltas of the next script; `max_tokens` is ignored."""
        self.requests.append(request)
        script = self._queue.popleft() if self._queue else self._default
        self.num_active += 1
        is_ended = False
        try:
            for index in range(len(script.texts) + 1):
                if script.gate is not None and index == script.gate_at:
                    await script.gate.wait()
                if index < len(script.texts):
                    yield ReplyDelta(script.texts[index], 1, num_prompt_tokens=5)
            is_ended = True
            if script.error is not None:
                raise script.error
            if script.finish_reason is not None:
                yield ReplyDelta("", 0, script.finish_reason)
        finally:
            self.num_active -= 1
            self.num_aborted += not is_ended

    async def close(self) -> None:
        """Does nothing."""

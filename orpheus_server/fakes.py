"""Stand-ins for the seams: for unit tests, and for driving the front end at rates no engine here
reaches. Never used by a running server."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_server.audio import Samples
from orpheus_server.checkpoint import TokenLayout
from orpheus_server.errors import EngineDead, GenerationFailed
from orpheus_server.frames import Frame
from orpheus_server.interfaces import FinishReason, TokenDelta, TokenRequest


@dataclass(frozen=True, slots=True)
class Script:
    """What a scripted generation does: ids, how it ends, or what it raises after `fail_at` ids.

    It writes nothing before `gate` is set; with `hangs_at_end` the last delta never comes.
    """

    token_ids: tuple[int, ...]
    finish_reason: FinishReason = "stop"
    error: Exception | None = None
    fail_at: int = 0
    hangs_at_end: bool = False
    gate: asyncio.Event | None = None


def frame_ids(layout: TokenLayout, frame: Frame) -> list[int]:
    """The ids that a model writes for one frame."""
    base, size = layout.audio_token_base, layout.codebook_size
    return [base + slot * size + code for slot, code in enumerate(frame)]


def speech_script(layout: TokenLayout, num_frames: int, *, start: int = 0) -> Script:
    """A sound utterance: frames that differ, then a stop id."""
    ids: list[int] = []
    for index in range(start, start + num_frames):
        codes = tuple((index * 31 + slot * 7) % layout.codebook_size for slot in range(7))
        ids += frame_ids(layout, codes)
    return Script((*ids, layout.stop_token_ids[0]))


class ScriptedEngine:
    """Plays scripts: those queued with `enqueue` first, then `default` for every request.

    `num_aborted` counts generations that were closed or cancelled before their end. A script that
    raises `EngineDead` takes the engine with it.
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
        self.requests: list[TokenRequest] = []
        self.num_aborted = 0

    def enqueue(self, *scripts: Script) -> None:
        """Scripts for the next requests, in order."""
        self._queue.extend(scripts)

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """The next script, a few ids at a time, never more than `max_tokens`."""
        self.requests.append(request)
        num_tokens = len(request.prompt_token_ids) + request.max_tokens
        if request.max_tokens < 1 or num_tokens > self.max_model_len:
            raise GenerationFailed(f"{num_tokens} tokens do not fit")
        script = self._queue.popleft() if self._queue else self._default(request)
        self.num_active += 1
        self.max_active = max(self.max_active, self.num_active)
        is_ended = False
        try:
            if script.gate is not None:
                await script.gate.wait()
            async for delta in self._play(script, request.max_tokens):
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
            if script.error is not None and start >= script.fail_at:
                raise script.error
            part = ids[start : start + self._delta_size]
            is_last = start + len(part) == len(ids)
            if is_last and is_whole and script.hangs_at_end:
                await asyncio.Event().wait()
            yield TokenDelta(part, reason if is_last and script.error is None else None)
        if script.error is not None:
            raise script.error

    async def close(self) -> None:
        """Ends the engine."""
        self.is_alive = False


class ToneDecoder:
    """Each frame becomes a tone whose pitch is its first code; `results` go first, one a call."""

    sample_rate = 24_000
    samples_per_frame = 2048

    def __init__(self) -> None:
        self.results: deque[Samples | Exception] = deque()
        self.calls: list[tuple[int, int]] = []

    async def decode(self, frames: Sequence[Frame], *, noise_seed: int) -> Samples:
        """A tone for each frame, or what was put into `results`; `calls` keeps number and seed."""
        self.calls.append((len(frames), noise_seed))
        if self.results:
            result = self.results.popleft()
            if isinstance(result, Exception):
                raise result
            return result
        time_sec = np.arange(self.samples_per_frame) / self.sample_rate
        tones = [0.3 * np.sin(2 * np.pi * (200 + frame[0]) * time_sec) for frame in frames]
        return np.concatenate(tones).astype(np.float32)

    async def close(self) -> None:
        """Nothing to end."""

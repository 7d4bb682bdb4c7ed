"""The protocols of engine, codec and language model, and the values that they exchange."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

DtypeName = Literal["bfloat16", "float16", "float32"]
EngineName = Literal["vllm", "transformers", "completions"]
FinishReason = Literal["stop", "length"]
Role = Literal["system", "user", "assistant"]
Samples = npt.NDArray[np.float32]
Frame = tuple[int, ...]
"""The codes of one frame in slot order."""


class RequestedSampling(TypedDict, total=False):
    """The fields of `SamplingOptions` that a request may set; None keeps the default."""

    temperature: float | None
    top_p: float | None
    repetition_penalty: float | None
    top_k: int | None
    min_p: float | None
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """Sampling of one generation: `top_k` 0 is off, `max_tokens` None is derived from the text."""

    temperature: float
    top_p: float
    repetition_penalty: float
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int | None = None

    @property
    def is_greedy(self) -> bool:
        """True if the most likely token is always chosen."""
        return self.temperature == 0.0 or self.top_p == 0.0 or self.top_k == 1

    def overridden_by(self, **requested: Unpack[RequestedSampling]) -> Self:
        """Returns these options with the requested values; None keeps the present one."""
        changes: dict[str, Any] = {
            name: value for name, value in requested.items() if value is not None
        }
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One generation; `max_tokens` is resolved, and a `seed` of None makes the sampling random."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingOptions
    max_tokens: int
    seed: int | None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenDelta:
    """The ids since the previous delta; the final delta has a finish reason."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None


class TokenEngine(Protocol):
    """Generates tokens of audio or text. Used from one event loop only."""

    @property
    def max_model_len(self) -> int:
        """The maximum number of tokens of prompt and output together."""

    @property
    def num_active(self) -> int:
        """Generations that have started and have not ended."""

    @property
    def kv_cache_share(self) -> float:
        """Share of the key-value cache in use, from 0 to 1."""

    @property
    def is_alive(self) -> bool:
        """False once the engine can no longer serve requests."""

    def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Yields deltas as they are generated. Closing the generator aborts the generation.

        Raises `GenerationFailed` if only this request failed, `EngineDead` if the engine did.
        """

    def kill(self) -> None:
        """Kills the engine and everything it started immediately, in any state. Blocks."""

    async def close(self) -> None:
        """Shuts down the engine and everything it started."""


PostProcess = Callable[[Samples], Samples]
"""Processes samples in order, in the thread that decoded them."""


def as_decoded(samples: Samples) -> Samples:
    """The `PostProcess` that returns the samples unchanged."""
    return samples


class UtteranceDecoder(Protocol):
    """Decodes the frames of one utterance, off the event loop. It may be dropped at any time."""

    async def feed(
        self, frames: Sequence[Frame], post_process: PostProcess = as_decoded
    ) -> Samples:
        """Returns the samples that these frames make final, post-processed; may be empty.

        `post_process` is not called without samples. Raises `GenerationFailed`.
        """

    def skip(self, frames: Sequence[Frame]) -> int:
        """Feeds frames whose samples the caller already has; returns their number of samples."""

    async def flush(self, post_process: PostProcess = as_decoded) -> Samples:
        """Returns the remaining samples; the total is then `num_frames * samples_per_frame`."""


Deadline = Callable[[int], float]
"""When a player that has all samples before this index runs out of audio, in seconds of
`time.monotonic`: minus infinity if it already has, infinity if playback has not started."""


class FrameDecoder(Protocol):
    """Decodes frames to samples, for many utterances at once."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""

    @property
    def samples_per_frame(self) -> int:
        """Samples per frame."""

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> UtteranceDecoder:
        """Opens an utterance. The same frames and seed give the same samples, however batched."""

    async def close(self) -> None:
        """Closes the decoder."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message; a conversation has at most one with the role `system`, as its first."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatModelInfo:
    """What `/models` reports about a language model; unknown fields are empty."""

    name: str
    provider: str
    parameters: str = ""
    license: str = ""
    license_url: str = ""
    attribution: str = ""


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """Options of a reply; None leaves the choice to the model, a penalty of 0 is off."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """One requested reply; its `messages` are the result of `conversation.arrange`."""

    request_id: str
    messages: tuple[ChatMessage, ...]
    options: ReplyOptions


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """More text of a reply, in whole characters; the final delta has a finish reason.

    `num_tokens` were generated for it. `num_prompt_tokens` is None until it is known.
    """

    text: str
    num_tokens: int
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int | None = None


class ChatModel(Protocol):
    """Generates replies. Used from one event loop only."""

    @property
    def info(self) -> ChatModelInfo:
        """Name, licence and attribution of the model."""

    @property
    def num_active(self) -> int:
        """Replies that are being generated."""

    @property
    def is_alive(self) -> bool:
        """False while the model cannot reply."""

    def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyDelta, None]:
        """Yields the reply while it is generated. Closing the generator aborts the reply.

        Messages that do not fit are left out, oldest first. Raises `RequestError` for an invalid
        conversation, `ChatModelFailed` if only this reply failed, `EngineUnavailable` if the model
        cannot reply at all.
        """

    async def close(self) -> None:
        """Shuts down the model and everything it started."""

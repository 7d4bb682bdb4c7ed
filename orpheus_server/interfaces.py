"""What speech needs from an engine and a codec, chat from a language model, and the values that
pass between them.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

DtypeName = Literal["bfloat16", "float16", "float32"]
FinishReason = Literal["stop", "length"]
Role = Literal["system", "user", "assistant"]
Samples = npt.NDArray[np.float32]
Frame = tuple[int, ...]
"""The codes of one frame in slot order."""


class RequestedSampling(TypedDict, total=False):
    """Fields of `SamplingOptions` as a request names them; None keeps the default."""

    temperature: float | None
    top_p: float | None
    repetition_penalty: float | None
    top_k: int | None
    min_p: float | None
    max_tokens: int | None


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """Sampling of one generation; `top_k` 0 is off, `max_tokens` None follows the text."""

    temperature: float
    top_p: float
    repetition_penalty: float
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int | None = None

    @property
    def is_greedy(self) -> bool:
        """True if the likeliest token is always taken."""
        return self.temperature == 0.0 or self.top_p == 0.0 or self.top_k == 1

    def overridden_by(self, **requested: Unpack[RequestedSampling]) -> Self:
        """These options with the requested values in place of its own; None keeps its own."""
        changes: dict[str, Any] = {
            name: value for name, value in requested.items() if value is not None
        }
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One generation: `max_tokens` is final, `seed` fixes the draw (None: another every time)."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingOptions
    max_tokens: int
    seed: int | None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenDelta:
    """New ids since the last delta; the last one has a finish reason."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None


class TokenEngine(Protocol):
    """Writes tokens, of audio or of text. Used from one event loop only."""

    @property
    def max_model_len(self) -> int:
        """Longest prompt and output together, in tokens."""

    @property
    def num_active(self) -> int:
        """Generations that have started and not ended."""

    @property
    def kv_cache_share(self) -> float:
        """Share of the key-value cache that the generations in it take now."""

    @property
    def is_alive(self) -> bool:
        """False once the engine cannot serve anybody any more."""

    def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Deltas as they are made. Closing the generator aborts the generation.

        Raises `GenerationFailed` if only this request failed, `EngineDead` if all did.
        """

    def kill(self) -> None:
        """Ends everything it started at once, whatever state that is in; blocking."""

    async def close(self) -> None:
        """Ends the engine and everything it started."""


PostProcess = Callable[[Samples], Samples]
"""What is still to be done with samples, in the thread that decoded them and in their order."""


def as_decoded(samples: Samples) -> Samples:
    """The `PostProcess` that does nothing."""
    return samples


class UtteranceDecoder(Protocol):
    """Frames of one utterance to samples, off the event loop; dropped at will."""

    async def feed(
        self, frames: Sequence[Frame], post_process: PostProcess = as_decoded
    ) -> Samples:
        """Samples that these frames make certain, post-processed; maybe none.

        `post_process` is not called where none are. Raises `GenerationFailed`.
        """

    def skip(self, frames: Sequence[Frame]) -> int:
        """Takes frames as `feed` does, without their samples, which somebody has: their number."""

    async def flush(self, post_process: PostProcess = as_decoded) -> Samples:
        """The rest: all of them together are `num_frames * samples_per_frame`."""


Deadline = Callable[[int], float]
"""When a player that has all samples before this one runs dry: seconds of `time.monotonic`, minus
infinity for what is waited for in silence, infinity where nobody plays yet."""


class FrameDecoder(Protocol):
    """Turns frames into samples, for many utterances at once."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""

    @property
    def samples_per_frame(self) -> int:
        """Samples that one frame becomes."""

    def open_utterance(self, *, noise_seed: int, deadline: Deadline) -> UtteranceDecoder:
        """A new utterance. The same frames and seed give the same samples, however fed."""

    async def close(self) -> None:
        """Ends what decodes."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What one of them said; of `system` there is at most one, and it comes first."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatModelInfo:
    """What `/models` tells of a language model; what nobody knows is empty."""

    name: str
    provider: str
    parameters: str = ""
    license: str = ""
    license_url: str = ""
    attribution: str = ""


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    """How a language model is to answer; None leaves it to the model, 0 penalties are off."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplyRequest:
    """One answer that is asked for; `messages` are as `conversation.arrange` leaves them."""

    request_id: str
    messages: tuple[ChatMessage, ...]
    options: ReplyOptions


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """More of the answer, whole characters; the last one has a finish reason and maybe no text.

    `num_tokens` were written for it. `num_prompt_tokens` is None until it is known.
    """

    text: str
    num_tokens: int
    finish_reason: FinishReason | None = None
    num_prompt_tokens: int | None = None


class ChatModel(Protocol):
    """Writes answers. Used from one event loop only."""

    @property
    def info(self) -> ChatModelInfo:
        """Name, licence, attribution."""

    @property
    def num_active(self) -> int:
        """Answers that are being written."""

    @property
    def is_alive(self) -> bool:
        """False while it cannot answer anybody."""

    def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyDelta, None]:
        """The answer as it is written. Closing the generator stops the model.

        Messages that the model has no room for are left out, oldest first. Raises `RequestError`
        for a conversation that it cannot take, `ChatModelFailed` if only this answer failed,
        `EngineUnavailable` if nobody can be answered.
        """

    async def close(self) -> None:
        """Ends it and everything it started."""

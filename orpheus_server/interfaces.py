"""The seams: what the synthesizer needs from an engine and from a codec. Nothing here runs."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from orpheus_server.audio import Samples
from orpheus_server.frames import Frame
from orpheus_server.sampling import SamplingOptions

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One generation: `max_tokens` is final, `seed` fixes the draw (None: another every time)."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingOptions
    max_tokens: int
    seed: int | None


@dataclass(frozen=True, slots=True)
class TokenDelta:
    """New ids since the last delta; the last one has a finish reason."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None


class TokenEngine(Protocol):
    """Writes audio tokens. Used from one event loop only."""

    @property
    def max_model_len(self) -> int:
        """Longest prompt and output together, in tokens."""

    @property
    def num_active(self) -> int:
        """Generations that have started and not ended."""

    @property
    def is_alive(self) -> bool:
        """False once the engine cannot serve anybody any more."""

    def generate(self, request: TokenRequest) -> AsyncGenerator[TokenDelta, None]:
        """Deltas as they are made. Closing the generator aborts the generation.

        Raises `GenerationFailed` if only this request failed, `EngineDead` if all did.
        """

    async def close(self) -> None:
        """Ends the engine and everything it started."""


class FrameDecoder(Protocol):
    """Turns frames into samples, off the event loop."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""

    @property
    def samples_per_frame(self) -> int:
        """Samples that one frame becomes."""

    async def decode(self, frames: Sequence[Frame], *, noise_seed: int) -> Samples:
        """All samples of an utterance: `len(frames) * samples_per_frame`.

        The same frames and seed give the same samples. Raises `GenerationFailed`.
        """

    async def close(self) -> None:
        """Ends the decoder's threads."""

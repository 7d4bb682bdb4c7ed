"""Values of the pipeline: a speech job, the pieces of its answer, and what they cost."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.interfaces import Samples, SamplingOptions
from orpheus_server.synthesis.guard import Verdict
from orpheus_server.text.front_end import PreparedText


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What one chunk cost; `verdict` tells why its audio is second best.

    `num_output_tokens` counts those of every attempt.
    """

    num_prompt_tokens: int
    num_output_tokens: int
    num_dropped_symbols: int
    num_attempts: int
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class SpeechParams:
    """The voice and sampling of a request, and the format and speed of its audio."""

    voice: Voice
    sampling: SamplingOptions
    response_format: str
    speed: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechJob:
    """A validated request for speech.

    `chunks` are what is spoken, each one generation. A text that turns out to have nothing to speak
    is an error unless `may_be_silent`.
    """

    request_id: str
    chunks: AsyncGenerator[PreparedText, None]
    params: SpeechParams
    may_be_silent: bool = False


@dataclass(slots=True)
class SpeechStats:
    """What an answer took so far; `degraded_chunks` are the indexes of those that are second best.

    Token counts are of finished chunks.
    """

    num_chunks: int = 0
    degraded_chunks: list[int] = field(default_factory=list)
    num_attempts: int = 0
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_dropped_symbols: int = 0
    num_samples: int = 0
    # Of two equal answers only the times differ.
    chunk_secs: list[float] = field(default_factory=list, compare=False)

    def add(self, chunk: ChunkReport, elapsed_sec: float) -> None:
        """Counts one chunk, the next in order, which took that long to make."""
        self.chunk_secs.append(elapsed_sec)
        if chunk.verdict is not None:
            self.degraded_chunks.append(self.num_chunks)
        self.num_chunks += 1
        self.num_attempts += chunk.num_attempts
        self.num_prompt_tokens += chunk.num_prompt_tokens
        self.num_output_tokens += chunk.num_output_tokens
        self.num_dropped_symbols += chunk.num_dropped_symbols


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """Samples of a chunk, at the pace they were spoken in."""

    chunk: int
    text: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """Bytes of an answer; `start_sample` is the first one that was fed for them.

    `chunk` and `text` are of the chunk that was being spoken, None for the end of the format.
    """

    data: bytes
    start_sample: int
    chunk: int | None
    text: str | None

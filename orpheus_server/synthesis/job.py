"""Values of the pipeline: speech jobs, the pieces of a response, and their statistics."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.interfaces import Samples, SamplingOptions
from orpheus_server.synthesis.guard import Verdict
from orpheus_server.text.front_end import PreparedText
from orpheus_server.text.markdown.spoken_text import Markup

SILENCE_SEC = 0.2
"""Silence instead of an empty body if a text has nothing that can be spoken: players and audio
libraries take an empty file for a failure."""


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """Statistics of one chunk; `verdict` is the fault in its audio, None if there is none.

    `num_output_tokens` includes every attempt.
    """

    num_prompt_tokens: int
    num_output_tokens: int
    num_dropped_symbols: int
    num_attempts: int
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class SpeechParams:
    """The voice and sampling of a request, its text's markup, and its audio's format and speed."""

    voice: Voice
    sampling: SamplingOptions
    response_format: str
    speed: float = 1.0
    seed: int | None = None
    markup: Markup = Markup.AUTO
    is_spelled_out: bool = False
    """Whether a voice that reads letters gets numbers, signs and units as words."""


@dataclass(frozen=True, slots=True)
class SpeechJob:
    """A validated request for speech.

    Each item of `chunks` is one generation. Without any, the response is `silence_sec` of silence.
    """

    request_id: str
    chunks: AsyncGenerator[PreparedText, None]
    params: SpeechParams
    silence_sec: float = 0.0


@dataclass(slots=True)
class SpeechStats:
    """Statistics of a response so far; `degraded_chunks` are the indexes of chunks with a fault.

    Tokens are counted when their chunk is finished. `num_samples` are those of speech: 0 for the
    silence of a response that has nothing to speak.
    """

    num_chunks: int = 0
    degraded_chunks: list[int] = field(default_factory=list)
    num_attempts: int = 0
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    num_dropped_symbols: int = 0
    num_samples: int = 0
    # Two equal responses differ only in these times.
    chunk_secs: list[float] = field(default_factory=list, compare=False)

    def add(self, chunk: ChunkReport, elapsed_sec: float) -> None:
        """Adds the next chunk in order, which was generated in `elapsed_sec`."""
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
    """Samples of a chunk, before its speed is changed.

    With `is_all_generated` nothing of the response remained to be generated when they were taken.
    """

    chunk: int
    text: str
    samples: Samples
    is_all_generated: bool


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """Bytes of a response; `start_sample` is the first sample that was encoded into them.

    `chunk` and `text` belong to the chunk that they are from, None for the end of the format.
    """

    data: bytes
    start_sample: int
    chunk: int | None
    text: str | None

"""Wire types of the WebSocket's events, in both directions.

Their sequence is described in docs/streaming.md.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orpheus_server.api.schemas.speech import Integer, Number, SpeechOptions
from orpheus_server.api.schemas.speech_events import Usage
from orpheus_server.chat.reply import ReplyStats
from orpheus_server.interfaces import FinishReason, Role
from orpheus_server.server.errors import ErrorBody

STREAM_ROUTE = "/v1/audio/stream"
"""The name of the WebSocket in the log and the metrics."""

MAX_HISTORY_MESSAGES = 1000


def chat_usage_of(stats: ReplyStats) -> Usage:
    """What a language model has read and written."""
    return Usage(
        input_tokens=stats.num_prompt_tokens,
        output_tokens=stats.num_tokens,
        total_tokens=stats.num_prompt_tokens + stats.num_tokens,
    )


class HistoryMessage(BaseModel):
    """What was said before the session."""

    model_config = ConfigDict(extra="ignore")

    role: Role
    content: str


class SessionStart(SpeechOptions):
    """The first message of a session, and between utterances: how to speak from now on.

    `history` begins another conversation; without it the one of before goes on.
    """

    type: Literal["session.start"]
    history: Annotated[list[HistoryMessage], Field(max_length=MAX_HISTORY_MESSAGES)] | None = None
    system_prompt: str | None = None


class TextDelta(BaseModel):
    """More text, cut anywhere."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text.delta"]
    text: str


class TextFlush(BaseModel):
    """Speak what has come, without waiting for the end of its sentence."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text.flush"]


class TextDone(BaseModel):
    """The utterance has no more text."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text.done"]


class _Interruption(BaseModel):
    """Stops all that is spoken; `played_ms` is where the client's player was in it."""

    model_config = ConfigDict(extra="ignore")

    played_ms: Annotated[Number, Field(ge=0.0)] | None = None


class Cancel(_Interruption):
    """Stop the utterance; the session goes on."""

    type: Literal["cancel"]


class UserMessage(_Interruption):
    """The user has said something, which the language model answers."""

    type: Literal["chat.message"]
    text: str
    max_tokens: Annotated[Integer, Field(ge=1, le=1_048_576)] | None = None
    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    seed: Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None = None


ClientEvent = SessionStart | TextDelta | TextFlush | TextDone | Cancel | UserMessage
CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(
    Annotated[ClientEvent, Field(discriminator="type")]
)


class SessionStarted(BaseModel):
    """The answer to `session.start`: what binary messages will hold, and what has no effect."""

    type: Literal["session.started"] = "session.started"
    session_id: str
    voice: str
    response_format: str
    sample_rate: int
    ignored_fields: list[str]


class AudioStart(BaseModel):
    """Binary messages of an utterance follow, one stream of the session's format."""

    type: Literal["audio.start"] = "audio.start"
    utterance: int


class ChunkStart(BaseModel):
    """A chunk of the text begins to be heard at this sample of the utterance."""

    type: Literal["chunk.start"] = "chunk.start"
    utterance: int
    chunk: int
    text: str
    start_sample: int


class AudioDone(BaseModel):
    """The end of an utterance; with `is_cancelled` it was stopped before its own."""

    type: Literal["audio.done"] = "audio.done"
    utterance: int
    usage: Usage
    num_samples: int
    degraded_chunks: list[int]
    is_cancelled: bool


class TranscriptDelta(BaseModel):
    """More of what the language model answers, as it writes it."""

    type: Literal["transcript.delta"] = "transcript.delta"
    utterance: int
    text: str


class TranscriptDone(BaseModel):
    """All that the language model answers; `usage` is its own."""

    type: Literal["transcript.done"] = "transcript.done"
    utterance: int
    text: str
    finish_reason: FinishReason
    usage: Usage


class TranscriptTruncated(BaseModel):
    """All that was heard of an answer, which is what the conversation goes on with."""

    type: Literal["transcript.truncated"] = "transcript.truncated"
    utterance: int
    text: str


class ErrorEvent(BaseModel):
    """What went wrong, in OpenAI's shape; with an utterance, that one has ended."""

    type: Literal["error"] = "error"
    utterance: int | None = None
    error: ErrorBody


ServerEvent = (
    SessionStarted
    | AudioStart
    | ChunkStart
    | AudioDone
    | TranscriptDelta
    | TranscriptDone
    | TranscriptTruncated
    | ErrorEvent
)

"""Wire types of the events that client and server send; docs/streaming.md has their sequence."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orpheus_server.api.schemas.chat import ReplyTokens
from orpheus_server.api.schemas.request import Number, RequestModel, Seed
from orpheus_server.api.schemas.speech import SpeechOptions
from orpheus_server.api.schemas.speech_events import Usage
from orpheus_server.chat.reply import ReplyStats
from orpheus_server.interfaces import FinishReason, Role
from orpheus_server.server.errors import ErrorBody

STREAM_ROUTE = "/v1/audio/stream"
"""The name of the WebSocket route in the log and the metrics."""

MAX_HISTORY_MESSAGES = 1000


def chat_usage_of(stats: ReplyStats) -> Usage:
    """The tokens that the language model has read and written."""
    return Usage(
        input_tokens=stats.num_prompt_tokens,
        output_tokens=stats.num_tokens,
        total_tokens=stats.num_prompt_tokens + stats.num_tokens,
    )


class HistoryMessage(RequestModel):
    """A message from before the session."""

    model_config = ConfigDict(extra="ignore")

    role: Role
    content: str


class SessionStart(SpeechOptions):
    """Sets how to speak from now on; the first event of a session, and allowed between utterances.

    `history` starts another conversation; without it the current one continues.
    """

    type: Literal["session.start"]
    history: (
        Annotated[list[HistoryMessage], Field(max_length=MAX_HISTORY_MESSAGES, fail_fast=True)]
        | None
    ) = None
    system_prompt: str | None = None


class TextDelta(RequestModel):
    """The next part of the text, of any length."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text.delta"]
    text: str


class TextFlush(RequestModel):
    """Speaks the text sent so far without waiting for the end of its sentence."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text.flush"]


class TextDone(RequestModel):
    """Ends the text of the utterance."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text.done"]


class _Interruption(RequestModel):
    """Cancels every utterance; `played_ms` is the position of the client's player in the audio."""

    model_config = ConfigDict(extra="ignore")

    played_ms: Annotated[Number, Field(ge=0.0)] | None = None


class Cancel(_Interruption):
    """Cancels every utterance; the session continues."""

    type: Literal["cancel"]


class UserMessage(_Interruption):
    """A message of the user for the language model to answer."""

    type: Literal["chat.message"]
    text: str
    max_tokens: ReplyTokens = None
    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    seed: Seed = None


ClientEvent = SessionStart | TextDelta | TextFlush | TextDone | Cancel | UserMessage
CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(
    Annotated[ClientEvent, Field(discriminator="type")]
)
CLIENT_EVENT_TYPES: list[str] = [
    name
    for event in get_args(ClientEvent)
    for name in get_args(event.model_fields["type"].annotation)
]


class SessionStarted(BaseModel):
    """Answers `session.start` with the format of the audio and the fields that had no effect."""

    type: Literal["session.started"] = "session.started"
    session_id: str
    voice: str
    response_format: str
    sample_rate: int
    ignored_fields: list[str]


class AudioStart(BaseModel):
    """The binary messages that follow are one stream of audio in the session's format."""

    type: Literal["audio.start"] = "audio.start"
    utterance: int


class ChunkStart(BaseModel):
    """The audio of a chunk of text starts at this sample of the utterance."""

    type: Literal["chunk.start"] = "chunk.start"
    utterance: int
    chunk: int
    text: str
    start_sample: int


class AudioDone(BaseModel):
    """An utterance has ended; `is_cancelled` is true if it was cancelled before its end.

    `num_left_out` parts of its text were left out as markup.
    """

    type: Literal["audio.done"] = "audio.done"
    utterance: int
    usage: Usage
    num_samples: int
    degraded_chunks: list[int]
    num_left_out: int
    is_cancelled: bool


class TranscriptDelta(BaseModel):
    """The next part of the language model's reply, sent while it is written."""

    type: Literal["transcript.delta"] = "transcript.delta"
    utterance: int
    text: str


class TranscriptDone(BaseModel):
    """The whole reply of the language model, and the tokens that the model has used."""

    type: Literal["transcript.done"] = "transcript.done"
    utterance: int
    text: str
    finish_reason: FinishReason
    usage: Usage


class TranscriptTruncated(BaseModel):
    """The part of a reply that was heard, which is what the conversation keeps of it."""

    type: Literal["transcript.truncated"] = "transcript.truncated"
    utterance: int
    text: str


class ErrorEvent(BaseModel):
    """An error as OpenAI formats it; if it names an utterance, that one has ended."""

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

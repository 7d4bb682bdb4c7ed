"""Wire types of `POST /v1/chat`, a route of earlier Orpheus servers."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from orpheus_server.api.schemas.request import (
    Integer,
    Name,
    NoLimit,
    Number,
    RequestModel,
    Seed,
    Switch,
)
from orpheus_server.api.schemas.speech import VoiceReference

MAX_MESSAGES = 20_000
"""Far more than fits into any model's context; the oldest messages that do not fit are dropped."""

ReplyTokens = Annotated[Annotated[Integer, Field(ge=1, le=1_048_576)] | None, NoLimit()]


class HistoryMessage(RequestModel):
    """An earlier message."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["user", "assistant", "system"]
    content: str


class ChatRequest(RequestModel):
    """Body of `POST /v1/chat`. Unknown fields are tolerated and named in a header."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"message": "Tell me in one sentence why the sky is blue.", "voice": "alloy"}
            ]
        },
    )

    message: str
    """The message to answer."""

    model: Name = None
    """Name of the language model, from `GET /v1/models`. The server has at most one."""

    voice: Name | VoiceReference = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names. The first voice if left out."""

    history: Annotated[list[HistoryMessage], Field(max_length=MAX_MESSAGES, fail_fast=True)] = []
    """Earlier messages, oldest first. The oldest that do not fit into the context are dropped. A
    `system` message replaces the built-in system prompt and is never dropped."""

    stream_text: Switch = False
    """Stream the answer as text only, as the language model writes it."""

    max_tokens: ReplyTokens = None
    """Maximum number of tokens of the answer's text. As many as fit if left out or -1."""

    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    """For the language model."""

    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """For the language model."""

    seed: Seed = None
    """For the language model and for the voice. -1 stands for no seed."""

    normalize: Switch | None = None
    """Read numbers, signs, units and abbreviations as words, for voices that read English
    letters (default: `TTS_NORMALIZE`). Voices that read phonemes always do."""

    response_format: Name = None
    """`wav`, `pcm` (raw 16-bit), `mp3`, `opus` (Ogg), `aac` (ADTS) or `flac`; 24 kHz, mono,
    streamed. `wav` if left out."""

    speed: Annotated[Number, Field(ge=0.25, le=4.0)] | None = None
    """Speed of the speech; the pitch stays the same."""

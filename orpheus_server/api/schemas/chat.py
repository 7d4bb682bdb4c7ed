"""Wire types of `POST /v1/chat`, which the earlier Orpheus servers had."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from orpheus_server.api.schemas.speech import Integer, Number, VoiceReference

MAX_MESSAGES = 20_000
"""Far more than any model has room for; the oldest of those that do not fit are left out."""


class HistoryMessage(BaseModel):
    """What was said before."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["user", "assistant", "system"]
    content: str


class ChatRequest(BaseModel):
    """Body of `POST /v1/chat`. Unknown fields are tolerated and named in a header."""

    model_config = ConfigDict(
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"message": "Tell me in one sentence why the sky is blue.", "voice": "alloy"}
            ]
        },
    )

    message: str
    """What to answer."""

    model: str | None = None
    """The language model, one of `GET /v1/models`; the only one if left out."""

    voice: str | VoiceReference | None = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names; the first one if left out."""

    history: Annotated[list[HistoryMessage], Field(max_length=MAX_MESSAGES, fail_fast=True)] = []
    """What was said before, oldest first. What the model has no room for is left out, oldest first.
    A `system` message replaces the built-in one, and is never left out."""

    stream_text: Annotated[bool, Field(strict=True)] = False
    """Answer with the text alone, as the language model writes it."""

    max_tokens: Annotated[Integer, Field(ge=1, le=1_048_576)] | None = None
    """Most tokens of the language model; as many as it has room for if left out."""

    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    """Of the language model."""

    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """Of the language model."""

    seed: Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """Of the language model and of the voice."""

    response_format: str | None = None
    """`wav`, `pcm` (raw 16-bit), `mp3`, `opus` (Ogg), `aac` (ADTS) or `flac`: 24 kHz, mono, sent
    while it is made. `wav` if left out."""

    speed: Annotated[Number, Field(ge=0.25, le=4.0)] | None = None
    """Pace; the pitch stays."""

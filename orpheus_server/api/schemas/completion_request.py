"""Wire types of requests to `POST /v1/chat/completions`, as OpenAI defines them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from orpheus_server.api.schemas.chat import MAX_MESSAGES
from orpheus_server.api.schemas.speech import Integer, Number, VoiceReference

Stop = Annotated[str, Field(max_length=500)]
MaxTokens = Annotated[Integer, Field(ge=1, le=2**31 - 1)]
Penalty = Annotated[Number, Field(ge=-2.0, le=2.0)]
Switch = Annotated[bool, Field(strict=True)]


class ContentPart(BaseModel):
    """A part of a message; only text is supported."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, Field(json_schema_extra={"enum": ["text", "refusal"]})]
    text: str | None = None


class AudioReference(BaseModel):
    """A reference to an earlier spoken answer."""

    model_config = ConfigDict(extra="ignore")

    id: str


class RequestMessage(BaseModel):
    """A message; `developer` is another name for `system`."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    role: Annotated[
        str, Field(json_schema_extra={"enum": ["system", "developer", "user", "assistant"]})
    ]

    content: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    """A string, or parts of type `text`."""

    audio: AudioReference | None = None
    """For an assistant message with no or blank content: the `id` of the spoken answer."""

    tool_calls: list[Any] | None = None
    """Not supported."""


class AudioOptions(BaseModel):
    """Voice and format of a spoken answer; both are required."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    voice: str | VoiceReference | None = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names."""

    format: str | None = None
    """`wav`, `aac`, `mp3`, `flac`, `opus` or `pcm16`. With `stream`, `pcm16` only."""


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    include_usage: Switch | None = None
    """Send the token counts in a last event."""


class ResponseFormat(BaseModel):
    """Format of the answer's text; only plain text is supported."""

    model_config = ConfigDict(extra="ignore")

    type: str


class CompletionRequest(BaseModel):
    """Body of `POST /v1/chat/completions`. Unknown fields are tolerated and named in a header."""

    model_config = ConfigDict(
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {"messages": [{"role": "user", "content": "Good morning!"}]},
                {
                    "messages": [{"role": "user", "content": "Good morning!"}],
                    "modalities": ["text", "audio"],
                    "audio": {"voice": "alloy", "format": "wav"},
                },
            ]
        },
    )

    messages: Annotated[
        list[RequestMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    ]
    """The conversation so far; the last message must be the user's. The oldest messages that do
    not fit into the context are dropped."""

    model: str | None = None
    """The language model's own name, or one of OpenAI's audio models."""

    modalities: Annotated[list[str], Field(fail_fast=True)] | None = None
    """`["text"]` if left out, or `["text", "audio"]`."""

    audio: AudioOptions | None = None
    """Required if `modalities` includes `audio`."""

    stream: Switch | None = None
    """Stream the answer as server-sent events."""

    stream_options: StreamOptions | None = None
    """For streams only."""

    max_completion_tokens: MaxTokens | None = None
    """Maximum number of tokens that the language model writes."""

    max_tokens: MaxTokens | None = None
    """The older name of `max_completion_tokens`."""

    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    """For the language model; the voice uses the server's setting."""

    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """For the language model."""

    presence_penalty: Penalty | None = None
    """For the language model."""

    frequency_penalty: Penalty | None = None
    """For the language model."""

    stop: Stop | Annotated[list[Stop], Field(max_length=4, fail_fast=True)] | None = None
    """Up to four strings that end the answer and are not part of it."""

    seed: Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """For the language model and for the voice."""

    normalize: Switch | None = None
    """Extension. Read numbers, signs, units and abbreviations as words, for voices that read
    English letters (default: `TTS_NORMALIZE`). Voices that read phonemes always do."""

    n: Integer | None = None
    """Only 1 is supported."""

    logprobs: Switch | None = None
    """Not supported."""

    tools: list[Any] | None = None
    """Not supported."""

    functions: list[Any] | None = None
    """Not supported."""

    response_format: ResponseFormat | None = None
    """Only `{"type": "text"}`."""

"""Wire types of requests to `POST /v1/chat/completions`, as OpenAI defines them."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from orpheus_server.api.schemas.chat import MAX_MESSAGES
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

Stop = Annotated[str, Field(max_length=500)]
MaxTokens = Annotated[Annotated[Integer, Field(ge=1, le=2**31 - 1)] | None, NoLimit()]
Penalty = Annotated[Number, Field(ge=-2.0, le=2.0)]


class ContentPart(RequestModel):
    """A part of a message. Only `text` is supported in the last message, and `refusal` in the
    assistant's; in earlier messages, parts of other types are skipped.
    """

    model_config = ConfigDict(extra="ignore")

    type: str
    text: str | None = None


class AudioReference(RequestModel):
    """A reference to an earlier spoken answer."""

    model_config = ConfigDict(extra="ignore")

    id: str


class RequestMessage(RequestModel):
    """A message; `developer` is another name for `system`.

    Earlier messages may be results of tools (`tool`, `function`), call tools, or have no text: what
    is not text is skipped.
    """

    model_config = ConfigDict(extra="ignore")

    role: Annotated[
        str,
        Field(
            json_schema_extra={
                "enum": ["system", "developer", "user", "assistant", "tool", "function"]
            }
        ),
    ]

    content: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    """A string, or parts of type `text`."""

    audio: AudioReference | None = None
    """For an assistant message with no or blank content: the `id` of the spoken answer."""

    tool_calls: list[Any] | None = None
    """Skipped in earlier messages, and not supported in the last one."""


class AudioOptions(RequestModel):
    """Voice and format of a spoken answer; both are required."""

    model_config = ConfigDict(extra="ignore")

    voice: Name | VoiceReference = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names."""

    format: Name = None
    """`wav`, `aac`, `mp3`, `flac`, `opus` or `pcm16`. With `stream`, `pcm16` only."""


class StreamOptions(RequestModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="ignore")

    include_usage: Switch | None = None
    """Send the token counts in a last event."""


class ResponseFormat(RequestModel):
    """Format of the answer's text; only plain text is supported."""

    model_config = ConfigDict(extra="ignore")

    type: str


class CompletionRequest(RequestModel):
    """Body of `POST /v1/chat/completions`. Unknown fields are tolerated and named in a header."""

    model_config = ConfigDict(
        extra="allow",
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
    """The conversation so far. The last message must have text, of any role. The oldest messages
    that do not fit into the context are dropped."""

    model: Name = None
    """The language model's own name, or one of OpenAI's audio models."""

    modalities: Annotated[list[str], Field(fail_fast=True)] | None = None
    """`["text"]` if left out, or `["text", "audio"]`."""

    audio: AudioOptions | None = None
    """Required if `modalities` includes `audio`."""

    stream: Switch | None = None
    """Stream the answer as server-sent events."""

    stream_options: StreamOptions | None = None
    """For streams only."""

    max_completion_tokens: MaxTokens = None
    """Maximum number of tokens that the language model writes. -1 stands for no limit."""

    max_tokens: MaxTokens = None
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

    seed: Seed = None
    """For the language model and for the voice. -1 stands for no seed."""

    normalize: Switch | None = None
    """Extension. Read numbers, signs, units and abbreviations as words, for voices that read
    English letters (default: `TTS_NORMALIZE`). Voices that read phonemes always do."""

    n: Integer | None = None
    """Only 1 is supported."""

    logprobs: Switch | None = None
    """Not supported."""

    tools: list[Any] | None = None
    """Not supported, and ignored if `tool_choice` is `none`."""

    tool_choice: str | dict[str, Any] | None = None
    """`none`, or without effect if there are no `tools`."""

    functions: list[Any] | None = None
    """Not supported, and ignored if `function_call` is `none`."""

    function_call: str | dict[str, Any] | None = None
    """`none`, or without effect if there are no `functions`."""

    response_format: ResponseFormat | None = None
    """Only `{"type": "text"}`."""

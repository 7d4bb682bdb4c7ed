"""Wire types of `POST /v1/audio/speech` and `/tts`; fields marked "extension" are not OpenAI's."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Integer = Annotated[int, Field(strict=True)]


class VoiceReference(BaseModel):
    """A voice by id, OpenAI's other spelling of a voice name."""

    model_config = ConfigDict(extra="ignore")

    id: str


class SpeechOptions(BaseModel):
    """How to speak; the same over HTTP and WebSocket."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    model: str | None = None
    """A model of `GET /v1/models`; `orpheus` if left out."""

    voice: str | VoiceReference | None = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names; the first one if left out."""

    response_format: str | None = None
    """`wav`, `pcm` (raw 16-bit), `mp3`, `opus` (Ogg), `aac` (ADTS) or `flac`: 24 kHz, mono. Left
    out: the server's default, `wav` where nobody set it; over the WebSocket `pcm`."""

    speed: Annotated[Number, Field(ge=0.25, le=4.0)] | None = None
    """Pace; the pitch stays."""

    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    """Extension."""

    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """Extension; 0 keeps the likeliest token only."""

    top_k: Annotated[Integer, Field(ge=0, le=200_000)] | None = None
    """Extension; 0 is off."""

    min_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """Extension."""

    repetition_penalty: Annotated[Number, Field(ge=0.5, le=2.0)] | None = None
    """Extension."""

    max_tokens: Annotated[Integer, Field(ge=100, le=8192)] | None = None
    """Extension. Most tokens of each chunk of the text; 82 are a second."""

    seed: Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    """Extension. The same seed gives the same samples to a request that runs alone."""


class SpeechRequest(SpeechOptions):
    """Body of `POST /v1/audio/speech`. Unknown fields are tolerated and named in a header."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "tts-1",
                    "input": "The quick brown fox jumps over the lazy dog.",
                    "voice": "alloy",
                }
            ]
        },
    )

    input: str
    """Text to speak."""

    instructions: Annotated[str, Field(max_length=4096)] | None = None
    """Accepted for OpenAI's clients; this model has no use for it, which a header says."""

    stream: Annotated[bool, Field(strict=True)] | None = None
    """Extension. Send the answer while it is made, or as one file; all formats but `wav` are
    streamed if it is left out."""

    stream_format: Literal["audio", "sse"] | None = None
    """`audio`: the bytes themselves; `sse`: server-sent events with base64 in them, always
    streamed (`"stream": false` is refused then)."""


class PromptRequest(BaseModel):
    """What `/tts` takes, as JSON or in the query."""

    model_config = ConfigDict(
        extra="allow",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"prompt": "Hello from the old address."}]},
    )

    prompt: str
    """Text to speak."""

    voice: str | None = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names; the first one if left out."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)] = 0.4
    """Of the voice."""

    top_p: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.9
    """Of the voice."""

    max_tokens: Annotated[int, Field(ge=100, le=8192)] = 2000
    """Most tokens of each chunk of the text; 82 are a second."""

    repetition_penalty: Annotated[float, Field(ge=0.5, le=2.0, allow_inf_nan=False)] = 1.1
    """Of the voice."""

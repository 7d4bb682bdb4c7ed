"""Wire types of `POST /v1/audio/speech` and `/tts`; fields marked "Extension" are not OpenAI's."""

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

MarkupName = Literal["auto", "plain"]


class VoiceReference(RequestModel):
    """A voice by id, OpenAI's alternative to a voice name."""

    model_config = ConfigDict(extra="ignore")

    id: str


class SpeechOptions(RequestModel):
    """Options of speech, shared by HTTP and WebSocket."""

    model_config = ConfigDict(extra="allow")

    model: Name = None
    """A model from `GET /v1/models`. The served model if left out."""

    voice: Name | VoiceReference = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names. The first voice if left out."""

    response_format: Name = None
    """`wav`, `pcm` (raw 16-bit), `mp3`, `opus` (Ogg), `aac` (ADTS) or `flac`; 24 kHz, mono. If
    left out, the server's default format (`wav` unless configured); over WebSocket `pcm`."""

    speed: Annotated[Number, Field(ge=0.25, le=4.0)] | None = None
    """Speed of the speech; the pitch stays the same."""

    temperature: Annotated[Number, Field(ge=0.0, le=2.0)] | None = None
    """Extension."""

    top_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """Extension. 0 keeps only the most likely token."""

    top_k: Annotated[Integer, Field(ge=0, le=200_000)] | None = None
    """Extension. 0 disables it."""

    min_p: Annotated[Number, Field(ge=0.0, le=1.0)] | None = None
    """Extension."""

    repetition_penalty: Annotated[Number, Field(ge=0.5, le=2.0)] | None = None
    """Extension."""

    max_tokens: Annotated[Annotated[Integer, Field(ge=100, le=8192)] | None, NoLimit()] = None
    """Extension. Maximum number of tokens for each chunk of the text; 82 tokens are one second. -1
    stands for no limit of the request's own."""

    seed: Seed = None
    """Extension. A request that runs alone gives the same samples for the same seed. -1 stands for
    no seed."""

    markup: MarkupName | None = None
    """Extension. `auto`, the default, resolves Markdown and HTML, and leaves out what cannot be
    spoken, such as code and emoji; a header counts it. `plain` takes nothing for markup."""

    normalize: Switch | None = None
    """Extension. Read numbers, signs, units and abbreviations as words, for voices that read
    English letters (default: `TTS_NORMALIZE`). Voices that read phonemes always do."""


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
    """Accepted for OpenAI's clients but ignored by the model; a header of the response says so."""

    stream: Switch | None = None
    """Extension. Stream the speech or return one file. If left out, all formats are streamed, `wav`
    only to callers with `x-stainless-raw-response: stream` (unless `TTS_STREAM_WAV` is set)."""

    stream_format: Literal["audio", "sse"] | None = None
    """`audio`: plain bytes; `sse`: server-sent events with base64 data, which are always streamed
    (`"stream": false` is an error then)."""


class PromptRequest(RequestModel):
    """Parameters of `/tts` as JSON."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra={"examples": [{"prompt": "Hello from the old address."}]},
    )

    prompt: str
    """Text to speak."""

    voice: Name = None
    """A voice of `GET /v1/audio/voices`, or one of OpenAI's names. The first voice if left out."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)] = 0.4
    """Sampling parameter of the voice."""

    top_p: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.9
    """Sampling parameter of the voice."""

    max_tokens: Annotated[Annotated[int, Field(ge=100, le=8192)] | None, NoLimit()] = 2000
    """Maximum number of tokens for each chunk of the text; 82 tokens are one second. -1 stands for
    no limit of the request's own."""

    repetition_penalty: Annotated[float, Field(ge=0.5, le=2.0, allow_inf_nan=False)] = 1.1
    """Sampling parameter of the voice."""

    markup: MarkupName = "auto"
    """`auto` resolves Markdown and HTML in the text; `plain` takes nothing for markup."""

    normalize: bool | None = None
    """Read numbers, signs, units and abbreviations as words, for voices that read English letters
    (default: `TTS_NORMALIZE`). Voices that read phonemes always do."""


class PromptQuery(PromptRequest):
    """Parameters of `/tts` in the query, where every value is a string."""

    model_config = ConfigDict(strict=False)

    max_tokens: Annotated[Annotated[int, Field(ge=100, le=8192)] | None, NoLimit("-1")] = 2000
    """As in the JSON of `POST`."""

"""Server-sent events of `stream_format: "sse"`, as OpenAI defines them."""

from typing import Literal

from pydantic import BaseModel

from orpheus_server.server.errors import ErrorBody
from orpheus_server.synthesis.job import SpeechStats


class Usage(BaseModel):
    """Tokens of the text and of the speech, including retries."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


def usage_of(stats: SpeechStats) -> Usage:
    """Returns the token counts of a speech response in OpenAI's form."""
    return Usage(
        input_tokens=stats.num_prompt_tokens,
        output_tokens=stats.num_output_tokens,
        total_tokens=stats.num_prompt_tokens + stats.num_output_tokens,
    )


class SpeechAudioDelta(BaseModel):
    """The next bytes of the speech in base64."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str


class SpeechAudioDone(BaseModel):
    """The end of the speech. The extension `degraded_chunks` lists chunks of lower quality."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: Usage
    degraded_chunks: list[int]


class SpeechAudioError(BaseModel):
    """An extension: a failure after the first delta, in place of `speech.audio.done`."""

    type: Literal["speech.audio.error"] = "speech.audio.error"
    error: ErrorBody

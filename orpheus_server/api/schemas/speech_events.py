"""Server-sent events of `stream_format: "sse"`, OpenAI's."""

from typing import Literal

from pydantic import BaseModel

from orpheus_server.synthesis.job import SpeechStats


class Usage(BaseModel):
    """Tokens of the text and of the speech, retries included."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


def usage_of(stats: SpeechStats) -> Usage:
    """OpenAI's count of what an answer took."""
    return Usage(
        input_tokens=stats.num_prompt_tokens,
        output_tokens=stats.num_output_tokens,
        total_tokens=stats.num_prompt_tokens + stats.num_output_tokens,
    )


class SpeechAudioDelta(BaseModel):
    """OpenAI's: the next bytes of the answer in base64."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str


class SpeechAudioDone(BaseModel):
    """OpenAI's: the end of a complete answer; `degraded_chunks` is an extension."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: Usage
    degraded_chunks: list[int]

"""Wire types of responses of `POST /v1/chat/completions`, as OpenAI defines them."""

from typing import Literal

from pydantic import BaseModel

from orpheus_server.chat.reply import ReplyStats
from orpheus_server.interfaces import FinishReason
from orpheus_server.synthesis.job import SpeechStats


class PromptTokensDetails(BaseModel):
    """Prompt tokens by kind. Audio input and caching are not supported."""

    audio_tokens: int
    cached_tokens: int
    text_tokens: int


class CompletionTokensDetails(BaseModel):
    """Tokens of the answer by kind: text from the language model, audio from the speech model."""

    text_tokens: int
    audio_tokens: int
    reasoning_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class CompletionUsage(BaseModel):
    """Tokens of both models; the speech model's tokens include retries."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


def usage_of(reply: ReplyStats, speech: SpeechStats) -> CompletionUsage:
    """Returns the token counts of an answer in OpenAI's form."""
    num_prompt, num_text, num_audio = (
        reply.num_prompt_tokens,
        reply.num_tokens,
        speech.num_output_tokens,
    )
    return CompletionUsage(
        prompt_tokens=num_prompt,
        completion_tokens=num_text + num_audio,
        total_tokens=num_prompt + num_text + num_audio,
        prompt_tokens_details=PromptTokensDetails(
            audio_tokens=0, cached_tokens=0, text_tokens=num_prompt
        ),
        completion_tokens_details=CompletionTokensDetails(
            text_tokens=num_text,
            audio_tokens=num_audio,
            reasoning_tokens=0,
            accepted_prediction_tokens=0,
            rejected_prediction_tokens=0,
        ),
    )


class CompletionAudio(BaseModel):
    """A spoken answer: a complete file in base64 (`data`) and its text (`transcript`).

    Later requests may refer to it by `id` until `expires_at` (Unix time).
    """

    id: str
    data: str
    expires_at: int
    transcript: str


class CompletionMessage(BaseModel):
    """The answer; `content` is null if the answer is spoken."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    annotations: list[None] = []
    audio: CompletionAudio | None = None


class CompletionChoice(BaseModel):
    """A choice; this server always returns one."""

    index: Literal[0] = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: FinishReason


class Completion(BaseModel):
    """A complete answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage


class DeltaAudio(BaseModel):
    """A part of a spoken answer: first its `id`, then `transcript` and `data` (16-bit samples in
    base64) in turn, and at the end `expires_at`. The extension `num_left_out` at the end counts the
    parts of the text that were left out as markup.
    """

    id: str | None = None
    transcript: str | None = None
    data: str | None = None
    expires_at: int | None = None
    num_left_out: int | None = None


class Delta(BaseModel):
    """The new part of an answer; unset fields are not sent."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None
    audio: DeltaAudio | None = None


class ChunkChoice(BaseModel):
    """The part of the only choice that an event adds."""

    index: Literal[0]
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class CompletionChunk(BaseModel):
    """An event of a stream; `usage` is sent only if it was requested."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None

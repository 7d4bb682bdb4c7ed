"""Wire types of what `POST /v1/chat/completions` answers, OpenAI's."""

from typing import Literal

from pydantic import BaseModel

from orpheus_server.chat.reply import ReplyStats
from orpheus_server.interfaces import FinishReason
from orpheus_server.synthesis.job import SpeechStats


class PromptTokensDetails(BaseModel):
    """Of what tokens of the conversation are."""

    audio_tokens: int
    cached_tokens: int
    text_tokens: int


class CompletionTokensDetails(BaseModel):
    """Of what tokens of the answer are: those of the language model, those of the voice."""

    text_tokens: int
    audio_tokens: int
    reasoning_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class CompletionUsage(BaseModel):
    """Tokens of both models; those of the voice with its retries."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


def usage_of(model: ReplyStats, speech: SpeechStats) -> CompletionUsage:
    """OpenAI's count of what an answer took."""
    num_prompt, num_text, num_audio = (
        model.num_prompt_tokens,
        model.num_tokens,
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
    """One complete file in base64, and its text; until `expires_at` the id stands for both."""

    id: str
    data: str
    expires_at: int
    transcript: str


class CompletionMessage(BaseModel):
    """The answer; `content` is null where it is spoken."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    annotations: list[None] = []
    audio: CompletionAudio | None = None


class CompletionChoice(BaseModel):
    """The one answer."""

    index: Literal[0] = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: FinishReason


class Completion(BaseModel):
    """An answer in one piece."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage


class DeltaAudio(BaseModel):
    """Of sound what is new: id, more text, more 16-bit samples in base64, until when it is kept."""

    id: str | None = None
    transcript: str | None = None
    data: str | None = None
    expires_at: int | None = None


class Delta(BaseModel):
    """What is new; nothing else is sent."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None
    audio: DeltaAudio | None = None


class ChunkChoice(BaseModel):
    """The one answer's."""

    index: Literal[0]
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class CompletionChunk(BaseModel):
    """One event of a stream; `usage` is there only if it is asked for."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None

"""Validates and resolves requests for `POST /v1/chat/completions`."""

from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_server.api.requests.model_names import check_chat_model
from orpheus_server.api.requests.normalization import ignored_normalize, is_spelled_out
from orpheus_server.api.requests.speech import ignored_fields, resolve_voice
from orpheus_server.api.schemas.completion_request import CompletionRequest, RequestMessage
from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage, ReplyOptions, Role
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SpeechParams

STREAMED_FORMAT = "pcm16"
"""The only format that OpenAI streams in chat completions."""

# OpenAI's names of the formats, and ours.
_FORMATS = {"wav": "wav", "aac": "aac", "mp3": "mp3", "flac": "flac", "opus": "opus"} | {
    STREAMED_FORMAT: "pcm"
}
_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_MAX_TRANSCRIPT_CHARS = 4_000_000
"""Limit for all transcripts of a request: a short id may name a long one many times."""


@dataclass(frozen=True, slots=True)
class CompletionParams:
    """A valid request. `speech` is None if the answer is text only."""

    messages: list[ChatMessage]
    options: ReplyOptions
    speech: SpeechParams | None
    is_streamed: bool
    has_usage: bool
    ignored_fields: tuple[str, ...]


def parse_completion_request(
    body: CompletionRequest, services: SpeechServices, caller: str
) -> CompletionParams:
    """Raises `RequestError` for whatever is wrong with the request itself."""
    if body.model is not None:
        check_chat_model(body.model, services)
    _check_supported(body)
    is_streamed = bool(body.stream)
    speech = _speech_params(body, services) if _is_spoken(body.modalities) else None
    options = body.stream_options
    has_both_limits = body.max_tokens is not None and body.max_completion_tokens is not None
    without_effect = {
        "audio": body.audio is not None and speech is None,
        "stream_options": options is not None and not is_streamed,
        "max_tokens": has_both_limits,
        "normalize": body.normalize is not None and speech is None,
    }
    names = [name for name, is_so in without_effect.items() if is_so]
    if speech is not None:
        names += ignored_normalize(body.normalize, speech.voice, services)
    return CompletionParams(
        messages=_Reader(services, caller).read(body.messages),
        options=_reply_options(body),
        speech=speech,
        is_streamed=is_streamed,
        has_usage=is_streamed and options is not None and bool(options.include_usage),
        ignored_fields=(*names, *ignored_fields(body)),
    )


def _check_supported(body: CompletionRequest) -> None:
    requested = {
        "n": body.n not in (None, 1),
        "logprobs": body.logprobs,
        "tools": body.tools,
        "functions": body.functions,
        "response_format": body.response_format and body.response_format.type != "text",
    }
    for param, is_requested in requested.items():
        if is_requested:
            raise _unsupported(f"{param!r} is not supported; leave it out.", param)


def _is_spoken(modalities: list[str] | None) -> bool:
    requested = {"text"} if modalities is None else set(modalities)
    if requested not in ({"text"}, {"text", "audio"}):
        raise _unsupported(
            'The modalities must be ["text"] or ["text", "audio"]: audio comes with its text.',
            "modalities",
        )
    return "audio" in requested


def _speech_params(body: CompletionRequest, services: SpeechServices) -> SpeechParams:
    audio = body.audio
    if audio is None or audio.voice is None or audio.format is None:
        raise RequestError(
            'Audio needs \'audio\' with a voice and a format: {"voice": "alloy", "format": "wav"}.',
            param="audio",
            code="missing_required_parameter",
        )
    voice: Voice = resolve_voice(audio.voice, services.checkpoint, param="audio")
    if audio.format not in _FORMATS:
        raise _unsupported(
            f"The format {audio.format[:60]!r} is not supported. Supported formats: "
            f"{', '.join(_FORMATS)}.",
            "audio",
        )
    if body.stream and audio.format != STREAMED_FORMAT:
        raise _unsupported(
            f"With stream=true the format must be {STREAMED_FORMAT}, not {audio.format}.", "audio"
        )
    return SpeechParams(
        voice=voice,
        sampling=services.default_sampling,
        response_format=_FORMATS[audio.format],
        seed=body.seed,
        is_spelled_out=is_spelled_out(body.normalize, voice, services),
    )


def _reply_options(body: CompletionRequest) -> ReplyOptions:
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    max_tokens = body.max_completion_tokens
    return ReplyOptions(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_tokens if max_tokens is None else max_tokens,
        seed=body.seed,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        stop=tuple(each for each in stop if each),
    )


class _Reader:
    """Reads the messages of one request."""

    def __init__(self, services: SpeechServices, caller: str) -> None:
        self._services = services
        self._caller = caller
        self._num_transcript_chars = 0

    def read(self, messages: list[RequestMessage]) -> list[ChatMessage]:
        """Returns the messages as a `ChatModel` accepts them. Raises `RequestError`."""
        read = [self._message(message, index) for index, message in enumerate(messages)]
        if read[-1].role != "user" or not read[-1].content.strip():
            raise _invalid("The last message must have the role 'user' and must not be empty.")
        return read

    def _message(self, message: RequestMessage, index: int) -> ChatMessage:
        role = _ROLES.get(message.role)
        if role is None:
            raise _invalid(
                f"messages[{index}]: the role {message.role[:60]!r} is not supported. Supported "
                f"roles: {', '.join(_ROLES)}."
            )
        if message.tool_calls:
            raise _unsupported(f"messages[{index}]: tool calls are not supported.", "messages")
        text = _text_of(message, index)
        if message.role == "assistant":
            # Some clients keep a spoken answer as its audio with an empty text.
            return ChatMessage(role, text if text.strip() else self._transcript(message, index))
        if message.content is None:
            raise _invalid(f"messages[{index}]: the content is missing.")
        return ChatMessage(role, text)

    def _transcript(self, message: RequestMessage, index: int) -> str:
        if message.audio is None:
            # The model refused, or its answer was empty.
            return ""
        text = self._services.transcripts.find(self._caller, message.audio.id)
        if text is None:
            raise RequestError(
                f"messages[{index}]: the audio {message.audio.id[:60]!r} is unknown or expired; "
                "send its transcript as the content instead.",
                param="messages",
                code="audio_not_found",
            )
        self._num_transcript_chars += len(text)
        if self._num_transcript_chars > _MAX_TRANSCRIPT_CHARS:
            raise _invalid(
                f"The transcripts of the audio in the messages have more than "
                f"{_MAX_TRANSCRIPT_CHARS} characters."
            )
        return text


def _text_of(message: RequestMessage, index: int) -> str:
    if isinstance(message.content, str):
        return message.content
    texts = []
    for part in message.content or []:
        if part.type == "refusal" and message.role == "assistant":
            continue
        if part.type != "text":
            raise _unsupported(
                f"messages[{index}]: a content part of type {part.type[:60]!r} is not supported, "
                "only 'text' is.",
                "messages",
            )
        if part.text is None:
            raise _invalid(f"messages[{index}]: a content part of type 'text' has no text.")
        texts.append(part.text)
    return "\n".join(texts)


def _invalid(message: str) -> RequestError:
    return RequestError(message, param="messages", code="invalid_value")


def _unsupported(message: str, param: str) -> RequestError:
    return RequestError(message, param=param, code="unsupported_value")

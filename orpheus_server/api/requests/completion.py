"""Validates and resolves requests for `POST /v1/chat/completions`."""

from dataclasses import dataclass

from orpheus_server.api.requests.messages import MessageReader, unsupported_value
from orpheus_server.api.requests.model_names import check_chat_model
from orpheus_server.api.requests.normalization import ignored_normalize, is_spelled_out
from orpheus_server.api.requests.speech import ignored_fields, resolve_voice
from orpheus_server.api.schemas.completion_request import CompletionRequest
from orpheus_server.checkpoints.checkpoint import Voice
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage, ReplyOptions
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SpeechParams

STREAMED_FORMAT = "pcm16"
"""The only format that OpenAI streams in chat completions."""

# OpenAI's names of the formats, and ours.
_FORMATS = {"wav": "wav", "aac": "aac", "mp3": "mp3", "flac": "flac", "opus": "opus"} | {
    STREAMED_FORMAT: "pcm"
}


@dataclass(frozen=True, slots=True)
class CompletionParams:
    """A valid request. `speech` is None if the answer is text only.

    `num_skipped_messages` counts earlier messages of which something was left out.
    """

    messages: list[ChatMessage]
    options: ReplyOptions
    speech: SpeechParams | None
    is_streamed: bool
    has_usage: bool
    ignored_fields: tuple[str, ...]
    num_skipped_messages: int


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
        "tools": body.tools,
        "tool_choice": body.tool_choice is not None and not body.tools,
        "functions": body.functions,
        "function_call": body.function_call is not None and not body.functions,
    }
    names = [name for name, is_so in without_effect.items() if is_so]
    if speech is not None:
        names += ignored_normalize(body.normalize, speech.voice, services)
    reader = MessageReader(services, caller)
    return CompletionParams(
        messages=reader.read(body.messages),
        options=_reply_options(body),
        speech=speech,
        is_streamed=is_streamed,
        has_usage=is_streamed and options is not None and bool(options.include_usage),
        ignored_fields=(*names, *ignored_fields(body)),
        num_skipped_messages=reader.num_skipped,
    )


def _check_supported(body: CompletionRequest) -> None:
    requested = {
        "n": body.n not in (None, 1),
        "logprobs": body.logprobs,
        "tools": body.tools and body.tool_choice != "none",
        "functions": body.functions and body.function_call != "none",
        "response_format": body.response_format and body.response_format.type != "text",
    }
    for param, is_requested in requested.items():
        if is_requested:
            raise unsupported_value(f"{param!r} is not supported; leave it out.", param)


def _is_spoken(modalities: list[str] | None) -> bool:
    requested = {"text"} if modalities is None else set(modalities)
    if requested not in ({"text"}, {"text", "audio"}):
        raise unsupported_value(
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
        raise unsupported_value(
            f"The format {audio.format[:60]!r} is not supported. Supported formats: "
            f"{', '.join(_FORMATS)}.",
            "audio",
        )
    if body.stream and audio.format != STREAMED_FORMAT:
        raise unsupported_value(
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

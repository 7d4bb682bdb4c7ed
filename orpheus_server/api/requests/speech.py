"""Validates and resolves requests for speech."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import BaseModel

from orpheus_server.api.requests.model_names import check_model
from orpheus_server.api.requests.normalization import ignored_normalize, is_spelled_out
from orpheus_server.api.schemas.speech import SpeechOptions, SpeechRequest, VoiceReference
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.checkpoints.checkpoint import Checkpoint, Voice
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SILENCE_SEC, SpeechJob, SpeechParams
from orpheus_server.text.chunking import ChunkPlan, blank_text
from orpheus_server.text.markdown.spoken_text import Markup

_MAX_NAMED_FIELDS = 10


def check_options(options: SpeechOptions, services: SpeechServices) -> Voice:
    """Returns the voice. Raises `RequestError` for an unknown model, voice or format."""
    if options.model is not None:
        check_model(options.model, services.checkpoint)
    voice = resolve_voice(options.voice, services.checkpoint)
    check_format(options.response_format)
    return voice


def check_format(name: str | None) -> None:
    """Raises `RequestError` for an unknown format."""
    if name is not None and name not in FORMATS:
        raise RequestError(
            f"The response_format {name[:60]!r} is not supported. Supported formats: "
            f"{', '.join(FORMATS)}.",
            param="response_format",
            code="unsupported_response_format",
        )


def resolve_sampling(options: SpeechOptions, default: SamplingOptions) -> SamplingOptions:
    """Returns the default sampling overridden by the values in the request."""
    return default.overridden_by(
        temperature=options.temperature,
        top_p=options.top_p,
        repetition_penalty=options.repetition_penalty,
        top_k=options.top_k,
        min_p=options.min_p,
        max_tokens=options.max_tokens,
    )


def ignored_fields(options: BaseModel) -> list[str]:
    """Returns the names of fields that have no effect, if they are fit for a header."""
    names = list(options.model_extra or {})[:_MAX_NAMED_FIELDS]
    return [name[:40] for name in names if name.isascii() and name.isidentifier()]


def too_long(num_chars: int, limit: int, *, param: str) -> RequestError:
    """Returns the error for a text over the limit."""
    return RequestError(
        f"The input has {num_chars} characters; at most {limit} are allowed.",
        param=param,
        code="string_above_max_length",
    )


def resolve_voice(
    requested: str | VoiceReference | None, checkpoint: Checkpoint, *, param: str = "voice"
) -> Voice:
    """Returns the default voice for None. Raises `RequestError` for an unknown voice."""
    if requested is None:
        return checkpoint.default_voice
    name = requested if isinstance(requested, str) else requested.id
    voice = checkpoint.find_voice(name)
    if voice is None:
        known = ", ".join(voice.name for voice in checkpoint.voices if voice.is_listed)
        raise RequestError(
            f"The voice {name[:60]!r} is unknown. Known voices: {known}; aliases: "
            f"{', '.join(checkpoint.voice_aliases) or 'none'}.",
            param=param,
            code="voice_not_found",
        )
    return voice


@contextmanager
def param_named(name: str, *, instead_of: str) -> Iterator[None]:
    """Renames the field in errors raised in this block to the name that the caller used."""
    try:
        yield
    except RequestError as error:
        if error.param == instead_of:
            error.param = name
        raise


def check_request(body: SpeechRequest, services: SpeechServices) -> Voice:
    """Returns the voice. Raises `RequestError` for errors that do not depend on the text."""
    voice = check_options(body, services)
    if not body.input.strip():
        raise blank_text()
    limit = services.settings.tts_max_input_chars
    if limit and len(body.input) > limit:
        raise too_long(len(body.input), limit, param="input")
    return voice


async def plan_job(
    body: SpeechRequest, voice: Voice, services: SpeechServices, request_id: str
) -> tuple[ChunkPlan, SpeechJob]:
    """Returns the chunks and the job. Raises `RequestError` for a blank text."""
    synthesizer = services.synthesizer()
    markup = Markup(body.markup or "auto")
    spelled_out = is_spelled_out(body.normalize, voice, services)
    tags = services.checkpoint.tags_of(voice)
    plan = await synthesizer.plan(body.input, tags=tags, markup=markup, is_spelled_out=spelled_out)
    params = SpeechParams(
        voice=voice,
        sampling=resolve_sampling(body, services.default_sampling),
        response_format=_response_format(body, services),
        speed=1.0 if body.speed is None else body.speed,
        seed=body.seed,
        markup=markup,
        is_spelled_out=spelled_out,
    )
    return plan, SpeechJob(request_id, synthesizer.chunks_of(plan), params, SILENCE_SEC)


def _response_format(body: SpeechRequest, services: SpeechServices) -> str:
    return body.response_format or services.settings.tts_default_response_format


def wants_stream(body: SpeechRequest, headers: Mapping[str, str], services: SpeechServices) -> bool:
    """Returns whether the response is streamed. Raises `RequestError` for a contradiction.

    `headers` are the request's.
    """
    if body.stream_format == "sse":
        if body.stream is False:
            raise RequestError(
                "Events are always streamed: leave out either 'stream' or 'stream_format'.",
                param="stream_format",
                code="unsupported_value",
            )
        return True
    if body.stream is not None:
        return body.stream
    form = FORMATS.get(_response_format(body, services))
    if form is None or form.streams_by_default:
        return True
    policy = services.settings.tts_stream_wav
    return _reads_stream(headers) if policy == "auto" else policy == "always"


def _reads_stream(headers: Mapping[str, str]) -> bool:
    """Returns whether the caller reads the response while it arrives.

    OpenAI's Python SDK sends this for `with_streaming_response`, and `true` for
    `with_raw_response`, which reads the whole response first.
    """
    return headers.get("x-stainless-raw-response") == "stream"


def ignored_fields_header(
    body: SpeechRequest, voice: Voice, services: SpeechServices
) -> dict[str, str]:
    """Returns the header that lists fields without effect; empty if there are none."""
    names = ["instructions"] if body.instructions else []
    names += ignored_normalize(body.normalize, voice, services)
    names += ignored_fields(body)
    return {"x-orpheus-ignored-fields": ", ".join(names)} if names else {}

"""What a caller of a speech route asked for, checked and resolved against what is served."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pydantic import BaseModel

from orpheus_server.api.requests.model_names import check_model
from orpheus_server.api.schemas.speech import SpeechOptions, SpeechRequest, VoiceReference
from orpheus_server.audio.encoders import FORMATS
from orpheus_server.checkpoints.checkpoint import Checkpoint, Voice
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.runtime.speech_services import SpeechServices
from orpheus_server.synthesis.job import SpeechJob, SpeechParams
from orpheus_server.text.chunking import ChunkPlan

_MAX_NAMED_FIELDS = 10


def check_options(options: SpeechOptions, services: SpeechServices) -> Voice:
    """The voice; raises `RequestError` for a model, voice or format that is not there."""
    if options.model is not None:
        check_model(options.model, services.checkpoint)
    voice = resolve_voice(options.voice, services.checkpoint)
    check_format(options.response_format)
    return voice


def check_format(name: str | None) -> None:
    """Raises `RequestError` for a format that is not there."""
    if name is not None and name not in FORMATS:
        raise RequestError(
            f"The response_format {name[:60]!r} is not supported. Supported are: "
            f"{', '.join(FORMATS)}.",
            param="response_format",
            code="unsupported_response_format",
        )


def resolve_sampling(options: SpeechOptions, default: SamplingOptions) -> SamplingOptions:
    """The default with what was asked for over it."""
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")
    requested = {name: getattr(options, name) for name in names}
    return replace(
        default, **{name: value for name, value in requested.items() if value is not None}
    )


def ignored_fields(options: BaseModel) -> list[str]:
    """Names of fields that have no effect, as far as they can be told back."""
    names = list(options.model_extra or {})[:_MAX_NAMED_FIELDS]
    return [name[:40] for name in names if name.isascii() and name.isidentifier()]


def too_long(num_chars: int, limit: int, *, param: str) -> RequestError:
    """The refusal of a text over the limit."""
    return RequestError(
        f"The input has {num_chars} characters; at most {limit} are allowed.",
        param=param,
        code="string_above_max_length",
    )


def resolve_voice(
    requested: str | VoiceReference | None, checkpoint: Checkpoint, *, param: str = "voice"
) -> Voice:
    """The default for None; raises `RequestError` for one that the checkpoint does not have."""
    if requested is None:
        return checkpoint.default_voice
    name = requested if isinstance(requested, str) else requested.id
    voice = checkpoint.find_voice(name)
    if voice is None:
        known = ", ".join(voice.name for voice in checkpoint.voices if voice.is_listed)
        raise RequestError(
            f"The voice {name[:60]!r} is not known. Known are: {known}; and as aliases: "
            f"{', '.join(checkpoint.voice_aliases) or 'none'}.",
            param=param,
            code="voice_not_found",
        )
    return voice


@contextmanager
def param_named(name: str, *, instead_of: str) -> Iterator[None]:
    """A mistake in this block is told by the name that the caller knows the field by."""
    try:
        yield
    except RequestError as error:
        if error.param == instead_of:
            error.param = name
        raise


def check_request(body: SpeechRequest, services: SpeechServices) -> Voice:
    """The voice; raises `RequestError` for what can be told without looking at the text."""
    voice = check_options(body, services)
    limit = services.settings.tts_max_input_chars
    if limit and len(body.input) > limit:
        raise too_long(len(body.input), limit, param="input")
    return voice


async def plan_job(
    body: SpeechRequest, voice: Voice, services: SpeechServices, request_id: str
) -> tuple[ChunkPlan, SpeechJob]:
    """Everything else that can be wrong with a request is found here, before any generation."""
    synthesizer = services.synthesizer()
    plan = await synthesizer.plan(body.input, tags=services.checkpoint.tags_of(voice))
    params = SpeechParams(
        voice=voice,
        sampling=resolve_sampling(body, services.default_sampling),
        response_format=_response_format(body, services),
        speed=1.0 if body.speed is None else body.speed,
        seed=body.seed,
    )
    return plan, SpeechJob(request_id, synthesizer.texts_of(plan), params)


def _response_format(body: SpeechRequest, services: SpeechServices) -> str:
    return body.response_format or services.settings.tts_default_response_format


def wants_stream(body: SpeechRequest, services: SpeechServices) -> bool:
    """Whether the answer is sent while it is made; raises `RequestError`."""
    if body.stream_format == "sse":
        if body.stream is False:
            raise RequestError(
                "Events are a stream: leave 'stream' out, or 'stream_format'.",
                param="stream_format",
                code="unsupported_value",
            )
        return True
    form = FORMATS.get(_response_format(body, services))
    default = form is not None and form.streams_by_default
    return default if body.stream is None else body.stream


def ignored_fields_header(body: SpeechRequest) -> dict[str, str]:
    """The header that names fields without effect; empty if there are none."""
    names = ["instructions"] if body.instructions else []
    names += ignored_fields(body)
    return {"x-orpheus-ignored-fields": ", ".join(names)} if names else {}

"""What a caller asked for, checked and resolved against what is served."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pydantic import BaseModel

from orpheus_server.audio.encoders import FORMATS
from orpheus_server.checkpoints.checkpoint import Checkpoint, Voice
from orpheus_server.errors import RequestError
from orpheus_server.interfaces import SamplingOptions
from orpheus_server.routes.models import check_model
from orpheus_server.runtime.state import Runtime
from orpheus_server.schemas import SpeechOptions, VoiceReference

_MAX_NAMED_FIELDS = 10


def check_options(options: SpeechOptions, runtime: Runtime) -> Voice:
    """The voice; raises `RequestError` for a model, voice or format that is not there."""
    if options.model is not None:
        check_model(options.model, runtime.checkpoint)
    voice = resolve_voice(options.voice, runtime.checkpoint)
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
    asked = {name: getattr(options, name) for name in names}
    return replace(default, **{name: value for name, value in asked.items() if value is not None})


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
    asked: str | VoiceReference | None, checkpoint: Checkpoint, *, param: str = "voice"
) -> Voice:
    """The default for None; raises `RequestError` for one that the checkpoint does not have."""
    if asked is None:
        return checkpoint.default_voice
    name = asked if isinstance(asked, str) else asked.id
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

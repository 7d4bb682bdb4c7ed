"""The names by which requests may address models."""

from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.errors import UnknownModel
from orpheus_server.runtime.speech_services import SpeechServices

MODEL_ALIASES = (
    "orpheus",
    "tts-1",
    "tts-1-hd",
    "gpt-4o-mini-tts",
    "gpt-4o-mini-tts-2025-12-15",
)
ENGLISH_MODEL_IDS = (ENGLISH.source, "canopylabs/orpheus-v1-english")
"""The published English Orpheus, and its id at Groq: clients have them built in."""

CHAT_MODEL_ALIASES = (
    "gpt-audio",
    "gpt-audio-mini",
    "gpt-4o-audio-preview",
    "gpt-4o-mini-audio-preview",
)


def model_ids(checkpoint: Checkpoint) -> list[str]:
    """Returns every name of the served checkpoint; `GET /v1/models` lists all of them."""
    hub_id = [checkpoint.hub_id] if checkpoint.hub_id else []
    return list(dict.fromkeys([checkpoint.name, *hub_id, *MODEL_ALIASES]))


def unlisted_ids(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Returns names that requests may use although `GET /v1/models` does not list them."""
    return ENGLISH_MODEL_IDS if checkpoint.is_english else ()


def check_model(name: str, checkpoint: Checkpoint) -> None:
    """Raises `UnknownModel` unless it is a name of the served checkpoint."""
    check_name(name, model_ids(checkpoint), unlisted=unlisted_ids(checkpoint))


def chat_model_ids(services: SpeechServices) -> list[str]:
    """Returns every name of the language model; empty if there is none."""
    info = services.chat_info()
    return [] if info is None else list(dict.fromkeys([info.name, *CHAT_MODEL_ALIASES]))


def check_chat_model(name: str, services: SpeechServices) -> None:
    """Raises `UnknownModel` unless it is a name of the language model."""
    check_name(name, chat_model_ids(services))


def check_name(name: str, known: list[str], *, unlisted: tuple[str, ...] = ()) -> None:
    """Raises `UnknownModel` unless the name is in `known` or `unlisted`."""
    if name not in known and name not in unlisted:
        raise UnknownModel(
            f"The model {name[:60]!r} is not served here. Known models: {', '.join(known)}.",
            param="model",
            code="model_not_found",
        )

"""Models and voices, for the SDK and for the clients that each ask in their own way."""

from typing import Literal

from fastapi import APIRouter, Query

from orpheus_server.api_document import UNKNOWN_MODEL
from orpheus_server.checkpoints.checkpoint import Checkpoint
from orpheus_server.errors import UnknownModel
from orpheus_server.routes.dependencies import CurrentRuntime
from orpheus_server.runtime.state import Runtime
from orpheus_server.schemas import (
    AudioModelList,
    Model,
    ModelInfo,
    ModelList,
    VoiceInfo,
    VoiceList,
    VoiceNames,
)

router = APIRouter(tags=["models"])

MODEL_ALIASES = (
    "orpheus",
    "tts-1",
    "tts-1-hd",
    "gpt-4o-mini-tts",
    "gpt-4o-mini-tts-2025-12-15",
)
CHAT_MODEL_ALIASES = (
    "gpt-audio",
    "gpt-audio-mini",
    "gpt-4o-audio-preview",
    "gpt-4o-mini-audio-preview",
)


def model_ids(checkpoint: Checkpoint) -> list[str]:
    """Every name under which the served checkpoint can be asked for; all are listed."""
    hub_id = [checkpoint.hub_id] if checkpoint.hub_id else []
    return list(dict.fromkeys([checkpoint.name, *hub_id, *MODEL_ALIASES]))


def check_model(name: str, checkpoint: Checkpoint) -> None:
    """Raises `UnknownModel` unless the served checkpoint goes by that name."""
    _check_name(name, model_ids(checkpoint))


def chat_model_ids(runtime: Runtime) -> list[str]:
    """Every name under which the language model can be asked for; none where there is none."""
    info = runtime.chat_info
    return [] if info is None else list(dict.fromkeys([info.name, *CHAT_MODEL_ALIASES]))


def check_chat_model(name: str, runtime: Runtime) -> None:
    """Raises `UnknownModel` unless the language model goes by that name."""
    _check_name(name, chat_model_ids(runtime))


def _check_name(name: str, known: list[str]) -> None:
    if name not in known:
        raise UnknownModel(
            f"The model {name[:60]!r} is not served here. Known are: {', '.join(known)}.",
            param="model",
            code="model_not_found",
        )


def _model(name: str, runtime: Runtime) -> Model:
    return Model(id=name, created=int(runtime.started_at), owned_by="orpheus-server")


def _all_models(runtime: Runtime) -> list[Model]:
    return [_model(name, runtime) for name in _all_ids(runtime)]


def _all_ids(runtime: Runtime) -> list[str]:
    return list(dict.fromkeys([*model_ids(runtime.checkpoint), *chat_model_ids(runtime)]))


def _chat_info(runtime: Runtime) -> ModelInfo | None:
    info = runtime.chat_info
    if info is None:
        return None
    return ModelInfo(
        name=info.name,
        provider=info.provider,
        parameters=info.parameters,
        license=info.license,
        license_url=info.license_url,
        attribution=info.attribution,
        capabilities=["chat"],
        voices=[],
        loaded=runtime.is_chat_ready,
    )


@router.get("/models")
async def list_models(runtime: CurrentRuntime) -> ModelList:
    """OpenAI's list; `tts` and `llm` beside it tell licence, voices and attribution."""
    checkpoint = runtime.checkpoint
    tts = ModelInfo(
        name=checkpoint.name,
        provider="orpheus-server",
        parameters=checkpoint.parameters,
        license=checkpoint.license,
        license_url=checkpoint.license_url,
        attribution=checkpoint.attribution,
        capabilities=["text-to-speech"],
        voices=[voice.name for voice in checkpoint.voices if voice.is_listed],
        loaded=runtime.status == "healthy",
    )
    return ModelList(data=_all_models(runtime), tts=tts, llm=_chat_info(runtime))


# A path: the SDK percent-encodes the slash of a hub id, and servers decode it before routing.
@router.get("/models/{model:path}", responses=UNKNOWN_MODEL)
async def get_model(model: str, runtime: CurrentRuntime) -> Model:
    """One model by any of its names."""
    _check_name(model, _all_ids(runtime))
    return _model(model, runtime)


@router.get("/audio/models")
async def list_audio_models(runtime: CurrentRuntime) -> AudioModelList:
    """Those that speak, under both keys that clients read."""
    models = [_model(name, runtime) for name in model_ids(runtime.checkpoint)]
    return AudioModelList(data=models, models=models)


@router.get("/audio/voices")
async def list_voices(
    runtime: CurrentRuntime,
    legacy: bool = False,
    format_: Literal["objects", "names"] = Query("objects", alias="format"),
) -> VoiceList | VoiceNames:
    """Voices as objects; names only with `legacy=true` or `format=names`."""
    checkpoint = runtime.checkpoint
    voices = [voice for voice in checkpoint.voices if voice.is_listed]
    if legacy or format_ == "names":
        return VoiceNames(voices=[voice.name for voice in voices])
    return VoiceList(
        voices=[
            VoiceInfo(
                id=voice.name,
                name=voice.name,
                language=voice.language,
                description=voice.description,
                aliases=[
                    alias for alias, name in checkpoint.voice_aliases.items() if name == voice.name
                ],
                emotion_tags=sorted(checkpoint.tags_of(voice)),
            )
            for voice in voices
        ]
    )

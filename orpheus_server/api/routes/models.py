"""Models and voices, in the forms that the OpenAI SDK and other clients expect."""

from typing import Literal

from fastapi import APIRouter, Query

from orpheus_server.api.openapi import UNKNOWN_MODEL
from orpheus_server.api.requests.model_names import (
    chat_model_ids,
    check_name,
    model_ids,
    unlisted_ids,
)
from orpheus_server.api.routes.dependencies import CurrentRuntime
from orpheus_server.api.schemas.catalog import (
    AudioModelList,
    Model,
    ModelInfo,
    ModelList,
    VoiceInfo,
    VoiceList,
    VoiceNames,
)
from orpheus_server.runtime.state import Runtime

router = APIRouter(tags=["models"])


def _model(name: str, runtime: Runtime) -> Model:
    return Model(id=name, created=int(runtime.started_at), owned_by="orpheus-server")


def _all_models(runtime: Runtime) -> list[Model]:
    return [_model(name, runtime) for name in _all_ids(runtime)]


def _all_ids(runtime: Runtime) -> list[str]:
    return list(dict.fromkeys([*model_ids(runtime.checkpoint), *chat_model_ids(runtime.services)]))


def _chat_info(runtime: Runtime) -> ModelInfo | None:
    info = runtime.get_chat_info()
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
    """Returns OpenAI's list. The extensions `tts` and `llm` add licence, voices and attribution."""
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


# A path, because the slash of a hub id, which the SDK percent-encodes, is decoded before routing.
@router.get("/models/{model:path}", responses=UNKNOWN_MODEL)
async def get_model(model: str, runtime: CurrentRuntime) -> Model:
    """Returns a model by any of its names."""
    check_name(model, _all_ids(runtime), unlisted=unlisted_ids(runtime.checkpoint))
    return _model(model, runtime)


@router.get("/audio/models")
async def list_audio_models(runtime: CurrentRuntime) -> AudioModelList:
    """Returns the speech models, under both keys that clients read."""
    models = [_model(name, runtime) for name in model_ids(runtime.checkpoint)]
    return AudioModelList(data=models, models=models)


@router.get("/audio/voices")
async def list_voices(
    runtime: CurrentRuntime,
    legacy: bool = False,
    format_: Literal["objects", "names"] = Query("objects", alias="format"),
) -> VoiceList | VoiceNames:
    """Returns the voices as objects, or as names with `legacy=true` or `format=names`."""
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

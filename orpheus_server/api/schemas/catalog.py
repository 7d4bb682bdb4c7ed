"""Wire types of models, voices, health and the list of routes."""

from typing import Literal

from pydantic import BaseModel


class Model(BaseModel):
    """OpenAI's model object."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelInfo(BaseModel):
    """Extension: what speaks here, with its licence and attribution."""

    name: str
    provider: str
    parameters: str
    license: str
    license_url: str
    attribution: str
    capabilities: list[str]
    voices: list[str]
    loaded: bool


class ModelList(BaseModel):
    """OpenAI's list, and beside it what the earlier servers told of their models."""

    object: Literal["list"] = "list"
    data: list[Model]
    tts: ModelInfo
    llm: ModelInfo | None


class VoiceInfo(BaseModel):
    """A voice as Open WebUI and others read it: `id` and `name`."""

    id: str
    name: str
    language: str
    description: str
    aliases: list[str]
    emotion_tags: list[str]


class VoiceList(BaseModel):
    """De-facto answer of `GET /v1/audio/voices`."""

    voices: list[VoiceInfo]


class VoiceNames(BaseModel):
    """The older answer: names only (`?legacy=true` or `?format=names`)."""

    voices: list[str]


class AudioModelList(BaseModel):
    """Speech models under both names that clients look for."""

    data: list[Model]
    models: list[Model]


class LoadedModels(BaseModel):
    """Which kinds of model this server has."""

    tts: bool
    llm: bool


class Features(BaseModel):
    """What this server can do."""

    text_to_speech: bool
    conversational_ai: bool
    streaming: bool


class Health(BaseModel):
    """Answer of `GET /health`; `model` says what is served and why."""

    status: Literal["healthy", "starting", "degraded"]
    model_loaded: bool
    timestamp: float
    models: LoadedModels
    features: Features
    model: str
    active_generations: int


class Ready(BaseModel):
    """Answer of `GET /ready` when a request would be served."""

    status: Literal["ready"] = "ready"


class ServerInfo(BaseModel):
    """Answer of `GET /`."""

    name: str
    version: str
    endpoints: list[str]

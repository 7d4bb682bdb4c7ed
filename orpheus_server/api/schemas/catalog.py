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
    """Extension: a model with its licence and attribution."""

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
    """OpenAI's list, with the model details of earlier Orpheus servers as extensions."""

    object: Literal["list"] = "list"
    data: list[Model]
    tts: ModelInfo
    llm: ModelInfo | None


class VoiceInfo(BaseModel):
    """A voice; Open WebUI and other clients read `id` and `name`."""

    id: str
    name: str
    language: str
    description: str
    aliases: list[str]
    emotion_tags: list[str]


class VoiceList(BaseModel):
    """Response of `GET /v1/audio/voices`, in the form that most clients expect."""

    voices: list[VoiceInfo]


class VoiceNames(BaseModel):
    """The older form of that response: names only (`?legacy=true` or `?format=names`)."""

    voices: list[str]


class AudioModelList(BaseModel):
    """Speech models, under both keys that clients read."""

    data: list[Model]
    models: list[Model]


class LoadedModels(BaseModel):
    """Whether each kind of model is loaded."""

    tts: bool
    llm: bool


class Features(BaseModel):
    """Features of this server."""

    text_to_speech: bool
    conversational_ai: bool
    streaming: bool


class Health(BaseModel):
    """Response of `GET /health`; `model` says which model is served and why.

    `waiting_requests` wait for a model to load or for an engine slot.
    """

    status: Literal["healthy", "starting", "degraded"]
    model_loaded: bool
    timestamp: float
    models: LoadedModels
    features: Features
    model: str
    active_generations: int
    waiting_requests: int


class Ready(BaseModel):
    """Response of `GET /ready` when a request would be served."""

    status: Literal["ready"] = "ready"


class ServerInfo(BaseModel):
    """Response of `GET /`."""

    name: str
    version: str
    endpoints: list[str]

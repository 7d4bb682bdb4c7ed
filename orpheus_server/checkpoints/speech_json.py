"""Reads `speech.json`, the description of a checkpoint next to its weights."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from orpheus_server.checkpoints.checkpoint import (
    Checkpoint,
    PromptTemplate,
    ShortestSpeech,
    TokenLayout,
    Voice,
    normal_name,
)
from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName, SamplingOptions


class _Wire(BaseModel):
    """A part of `speech.json`: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _PromptJson(_Wire):
    before: tuple[int, ...]
    template: str
    after: tuple[int, ...]

    @field_validator("template")
    @classmethod
    def _check_template(cls, value: str) -> str:
        try:
            line = value.format(voice="", text="text of a request")
        except (LookupError, AttributeError, ValueError):
            line = ""
        if "text of a request" not in line:
            raise ValueError("it must contain {text}, may contain {voice}, and no other braces")
        return value


class _ShortestJson(_Wire):
    share: Annotated[float, Field(ge=0, le=2)]
    sec: Annotated[float, Field(ge=-2, le=2)]


class _VoiceJson(_Wire):
    name: str
    language: str
    description: str = ""
    listed: bool = True
    shortest: _ShortestJson | None = None


class _SamplingJson(_Wire):
    temperature: float
    top_p: float
    repetition_penalty: float
    top_k: int = 0
    min_p: float = 0.0


class _SpeechJson(_Wire):
    name: str
    license: str
    codec: str
    prompt: _PromptJson
    stop_token_ids: Annotated[tuple[int, ...], Field(min_length=1)]
    audio_token_base: Annotated[int, Field(ge=0)]
    codebook_size: Annotated[int, Field(ge=1)]
    frame_slots: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    voices: Annotated[tuple[_VoiceJson, ...], Field(min_length=1)]
    sampling: _SamplingJson
    sample_rate: Annotated[int, Field(ge=1)]
    emotion_tags: dict[str, tuple[str, ...]] | tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    text_frontend: Literal["none", "gruut/en-us"] = "none"
    max_audio_seconds: Annotated[float, Field(gt=0)] | None = None
    max_sentences: Annotated[int, Field(ge=1)] | None = None
    max_model_len: Annotated[int, Field(ge=1)] = 8192
    cpu_dtype: DtypeName = "bfloat16"
    parameters: str = ""
    license_url: str = ""
    attribution: str = ""


def load_speech_json(folder: Path) -> Checkpoint:
    """Returns the checkpoint that `folder/speech.json` describes.

    Raises `StartError` with the file and the fields if it is missing or invalid.
    """
    path = folder / "speech.json"
    try:
        return _to_checkpoint(_SpeechJson.model_validate_json(path.read_bytes()), folder)
    except FileNotFoundError:
        raise StartError(
            f"{folder} has no speech.json, so its voices and token layout are unknown. "
            "Put one next to the weights: docs/checkpoints.md describes it."
        ) from None
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = ".".join(map(str, problem["loc"])) or "the file"
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        raise StartError(f"{path}: {'; '.join(lines)}") from error
    except (OSError, ValueError) as error:
        raise StartError(f"{path}: {error}") from error


def _to_checkpoint(data: _SpeechJson, folder: Path) -> Checkpoint:
    tags = data.emotion_tags
    if not isinstance(tags, dict):
        tags = {voice.language: tags for voice in data.voices}
    checkpoint = Checkpoint(
        name=data.name,
        source=str(folder.resolve()),
        layout=TokenLayout(
            audio_token_base=data.audio_token_base,
            codebook_size=data.codebook_size,
            slot_levels=data.frame_slots,
            stop_token_ids=data.stop_token_ids,
        ),
        prompt=PromptTemplate(data.prompt.before, data.prompt.template, data.prompt.after),
        voices=tuple(
            Voice(
                voice.name,
                voice.language,
                voice.description,
                voice.listed,
                ShortestSpeech(**(voice.shortest.model_dump() if voice.shortest else {})),
            )
            for voice in data.voices
        ),
        sampling=SamplingOptions(**data.sampling.model_dump()),
        codec=data.codec,
        license=data.license,
        sample_rate=data.sample_rate,
        text_frontend=data.text_frontend,
        emotion_tags=tags,
        voice_aliases={normal_name(alias): name for alias, name in data.aliases.items()},
        max_model_len=data.max_model_len,
        max_audio_sec=data.max_audio_seconds,
        max_sentences=data.max_sentences,
        cpu_dtype=data.cpu_dtype,
        parameters=data.parameters,
        license_url=data.license_url,
        attribution=data.attribution,
    )
    if not any(voice.is_listed for voice in checkpoint.voices):
        raise ValueError("voices: at least one must be listed")
    for alias, name in checkpoint.voice_aliases.items():
        if checkpoint.voice_named(name) is None:
            raise ValueError(f"aliases.{alias}: {name!r} is not a name in 'voices'")
    return checkpoint

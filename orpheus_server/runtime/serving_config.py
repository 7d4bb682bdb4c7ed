"""The choice of checkpoint, language model, device and dtype, and the reason for it."""

from dataclasses import dataclass, replace
from pathlib import Path

from orpheus_server.chat.selection import ChatModelConfig, resolve_chat_config
from orpheus_server.checkpoints.checkpoint import Checkpoint, is_hub_id
from orpheus_server.checkpoints.folders import to_folder, what_is_missing
from orpheus_server.checkpoints.published import ENGLISH, PUBLISHED, find_published
from orpheus_server.checkpoints.speech_json import load_speech_json
from orpheus_server.checkpoints.voice_aliases import add_voice_aliases
from orpheus_server.checkpoints.weights import find_files
from orpheus_server.concurrency import num_cores
from orpheus_server.errors import StartError
from orpheus_server.interfaces import DtypeName, EngineName
from orpheus_server.runtime.engine_choice import ENGINE_LABELS, EngineChoice
from orpheus_server.runtime.hardware import Hardware
from orpheus_server.settings import Settings

POCKET_FOLDER = Path(__file__).resolve().parents[2] / "models" / "pocket"

DEFAULT_ENGINE = EngineChoice("vllm")

SHARE_ALONE, SHARE_WITH_CHAT = 0.9, 0.35
"""Default share of the GPU's memory for the speech engine."""


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """The models this process serves and how; `why` is a clause for the log and `/health`.

    `is_cuda` and `is_mps` say where engines in this process compute.
    """

    checkpoint: Checkpoint
    is_cuda: bool
    dtype: DtypeName
    codec_device: str
    max_model_len: int
    max_num_seqs: int
    max_workers: int
    is_eager: bool
    why: str
    gpu_share: float = SHARE_ALONE
    chat: ChatModelConfig | None = None
    engine: EngineName = "vllm"
    is_mps: bool = False

    def describe(self) -> str:
        """Returns the line that is logged at the start: model, engine, device, reason."""
        name = self.checkpoint.hub_id or self.checkpoint.name
        start = f"model {name}, engine {ENGINE_LABELS[self.engine]}"
        if self.engine == "completions":
            return f"{start}, codec on {self.codec_device.upper()}: {self.why}"
        device = "CUDA" if self.is_cuda else "MPS" if self.is_mps else "CPU"
        return f"{start}, device {device}, {self.dtype}: {self.why}"


def resolve_config(
    settings: Settings,
    hardware: Hardware,
    engine: EngineChoice = DEFAULT_ENGINE,
    *,
    has_vllm: bool = True,
) -> ServingConfig:
    """Resolves the configuration from the settings and, where those are not set, the hardware.

    Raises `StartError` for an unknown model or a bad alias of a voice.
    """
    has_cuda, is_elsewhere = hardware.has_cuda, engine.name == "completions"
    if settings.tts_model_name is not None:
        checkpoint, why = find_checkpoint(settings), "TTS_MODEL_NAME is set"
    elif is_elsewhere:
        checkpoint, why = ENGLISH, "TTS_MODEL_NAME is not set"
    elif has_cuda:
        checkpoint, why = ENGLISH, "there is a CUDA GPU and TTS_MODEL_NAME is not set"
    else:
        checkpoint = load_speech_json(POCKET_FOLDER)
        why = "there is no CUDA GPU and TTS_MODEL_NAME is not set, so the bundled voice"
    if settings.tts_voice_aliases is not None:
        checkpoint = add_voice_aliases(checkpoint, settings.tts_voice_aliases)
    if engine.why:
        why = f"{why}, and {engine.why}"
    chat = resolve_chat_config(settings, runs_gemma=has_cuda and has_vllm)
    is_shared = chat is not None and chat.backend == "local"
    return ServingConfig(
        checkpoint=checkpoint,
        is_cuda=has_cuda,
        dtype=settings.tts_dtype or ("bfloat16" if hardware.has_bfloat16 else checkpoint.cpu_dtype),
        codec_device=settings.snac_device or ("cuda" if has_cuda else "cpu"),
        max_model_len=settings.tts_max_model_len or checkpoint.max_model_len,
        max_num_seqs=settings.tts_max_num_seqs
        or (256 if has_cuda and engine.name == "vllm" else 32),
        max_workers=settings.tts_max_workers or (16 if has_cuda else num_cores()),
        is_eager=not hardware.can_compile
        if settings.tts_enforce_eager is None
        else settings.tts_enforce_eager,
        why=why,
        gpu_share=settings.tts_gpu_memory_utilization
        or (SHARE_WITH_CHAT if is_shared else SHARE_ALONE),
        chat=chat,
        engine=engine.name,
        is_mps=hardware.has_mps and engine.name == "transformers",
    )


def find_checkpoint(settings: Settings) -> Checkpoint:
    """Returns the checkpoint that `TTS_MODEL_NAME` names: the bundled voice, a published
    checkpoint, or a folder or hub id with a `speech.json`. Raises `StartError`.
    """
    name = settings.tts_model_name or POCKET_FOLDER.name
    folder = POCKET_FOLDER if name == POCKET_FOLDER.name else to_folder(name)
    if folder.is_dir():
        return load_speech_json(folder)
    published = find_published(name)
    if published is None and is_hub_id(name):
        described = find_files(name, patterns=("speech.json",), token=settings.hub_token)
        return replace(load_speech_json(described), source=name)
    if published is None:
        known = ", ".join([POCKET_FOLDER.name, *(entry.source for entry in PUBLISHED)])
        raise StartError(
            f"TTS_MODEL_NAME={name!r}: {what_is_missing(name)}. It must be a folder or hub id with "
            f"a speech.json, or one of {known}."
        )
    return published

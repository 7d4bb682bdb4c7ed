"""Checks before anything is loaded: settings, files, and whether both models fit in memory."""

import importlib.util

import psutil

from orpheus_server.chat.local.config import check_chat_files
from orpheus_server.chat.model_info import ECHO
from orpheus_server.chat.selection import AUTO, resolve_chat_config
from orpheus_server.checkpoints.checkpoint import is_hub_id
from orpheus_server.checkpoints.download import Download
from orpheus_server.checkpoints.folders import to_folder, what_is_missing
from orpheus_server.checkpoints.weights import (
    CHAT_FILES,
    CHAT_GATE_HINT,
    MODEL_FILES,
    find_files,
    weigh,
)
from orpheus_server.engine.memory import MemoryNeed, check_gpu, check_ram, check_shares
from orpheus_server.errors import StartError
from orpheus_server.interfaces import EngineName
from orpheus_server.runtime.engine_choice import choose_engine
from orpheus_server.runtime.hardware import has_vllm, num_cuda_devices
from orpheus_server.runtime.serving_config import SHARE_WITH_CHAT, ServingConfig, find_checkpoint
from orpheus_server.settings import Settings

CHAT_FLOAT_BYTES = 2
"""A language model is loaded in bfloat16."""


def check_memory(
    config: ServingConfig, settings: Settings, download: Download | None = None
) -> None:
    """Checks that the voice and a local language model fit; does nothing without the latter.

    Blocking: downloads files that are not on this machine, with its progress in `download`. Raises
    `StartError`.
    """
    chat = config.chat
    if chat is None or chat.backend != "local":
        return
    if config.engine == "vllm":
        check_shares(tts_share=config.gpu_share, llm_share=settings.llm_gpu_memory_utilization)
    token = settings.hub_token
    chat_folder = find_files(
        chat.source, patterns=CHAT_FILES, token=token, gate_hint=CHAT_GATE_HINT, download=download
    )
    chat_size = weigh(chat_folder)
    if chat_size.num_parameters == 0:
        raise StartError(f"LLM_MODEL_NAME={chat.source!r} has no weights (model*.safetensors).")
    check_chat_files(chat_folder, source=chat.source)
    needs = [
        MemoryNeed(
            label="language model",
            weight_bytes=chat_size.loaded_bytes(CHAT_FLOAT_BYTES),
            gpu_share=settings.llm_gpu_memory_utilization,
            model_setting="LLM_MODEL_NAME",
            share_setting="LLM_GPU_MEMORY_UTILIZATION",
        )
    ]
    # The transformers engine reserves no share of a GPU, and completion servers need none of ours.
    if config.engine == "vllm" or (config.engine == "transformers" and not config.is_cuda):
        source = config.checkpoint.source
        voice_folder = find_files(source, patterns=MODEL_FILES, token=token, download=download)
        voice_bytes = weigh(voice_folder).loaded_bytes(4 if config.dtype == "float32" else 2)
        voice = MemoryNeed(
            label="voice",
            weight_bytes=voice_bytes // settings.tts_tensor_parallel_size,
            gpu_share=config.gpu_share,
            model_setting="TTS_MODEL_NAME",
            share_setting="TTS_GPU_MEMORY_UTILIZATION",
        )
        needs.insert(0, voice)
    if config.is_cuda:
        import torch  # not at the top: it takes seconds to import, and the port must answer

        free_bytes, total_bytes = torch.cuda.mem_get_info(0)
        check_gpu(needs, total_bytes=total_bytes, free_bytes=free_bytes)
    else:
        check_ram(needs, available_bytes=psutil.virtual_memory().available)


def check_start(settings: Settings) -> None:
    """Raises `StartError` for errors that can be found before anything is loaded."""
    check_torchvision()
    engine = choose_engine(settings, has_vllm=has_vllm())
    check_chat(settings, engine.name, has_vllm=has_vllm())
    if settings.tts_model_name is not None:
        find_checkpoint(settings)
    if settings.snac_device not in (None, "cpu"):
        wanted = int(settings.snac_device.partition(":")[2] or 0)
        if wanted >= num_cuda_devices():
            raise StartError(
                f"SNAC_DEVICE={settings.snac_device!r}: must be cpu, or one of the "
                f"{num_cuda_devices()} CUDA GPUs here."
            )


def check_chat(settings: Settings, engine: EngineName, *, has_vllm: bool) -> None:
    """Raises `StartError` for language model settings that cannot work with this installation.

    `auto` is checked as if there were a GPU, so that the result is the same on every machine.
    """
    chat = resolve_chat_config(settings, runs_gemma=has_vllm)
    if chat is None or chat.backend != "local":
        return
    if not has_vllm:
        raise StartError(
            f"LLM_MODEL_NAME={chat.source!r}: a language model in this process needs vLLM, which "
            f"is not installed. {ECHO} works without it, and so does a server at LLM_BASE_URL."
        )
    if engine == "vllm":
        check_shares(
            tts_share=settings.tts_gpu_memory_utilization or SHARE_WITH_CHAT,
            llm_share=settings.llm_gpu_memory_utilization,
        )
    folder = to_folder(chat.source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise StartError(
                f"LLM_MODEL_NAME={chat.source!r}: the folder has no config.json and is not a model."
            )
    elif not is_hub_id(chat.source):
        raise StartError(
            f"LLM_MODEL_NAME={chat.source!r}: {what_is_missing(chat.source)}. It must be {AUTO}, "
            f"{ECHO}, a folder with a config.json, a hub id like 'owner/name', or with "
            "LLM_BASE_URL the name that the server there knows."
        )


def check_torchvision() -> None:
    """Raises `StartError` if a torchvision is installed that cannot be imported.

    `pip install -r requirements.txt` without `--no-deps` installs a CUDA build of it next to the
    CPU build of torch; transformers then fails with "operator torchvision::nms does not exist".
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        raise StartError(
            f"the installed torchvision does not fit torch ({error}). It is not needed: "
            "run 'pip uninstall -y torchvision torchaudio', and install the lock with "
            "'pip install --no-deps -r requirements.txt' (or let 'make serve' do it)."
        ) from error

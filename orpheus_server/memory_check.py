"""Finds the files of both models and sees whether they fit and serve, before either is loaded."""

import psutil

from orpheus_server.chat.local.config import check_chat_files
from orpheus_server.checkpoints.weights import (
    CHAT_FILES,
    CHAT_GATE_HINT,
    MODEL_FILES,
    find_files,
    weigh,
)
from orpheus_server.choice import Choice
from orpheus_server.engine.memory import MemoryNeed, check_gpu, check_ram, check_shares
from orpheus_server.errors import StartError
from orpheus_server.settings import Settings

CHAT_FLOAT_BYTES = 2
"""A language model is loaded in bfloat16."""


def check_memory(choice: Choice, settings: Settings) -> None:
    """Nothing where no language model runs here. Blocking: fetches what is not on this machine.

    Raises `StartError`.
    """
    chat = choice.chat
    if chat is None or chat.place != "here":
        return
    check_shares(tts_share=choice.gpu_share, llm_share=settings.llm_gpu_memory_utilization)
    token = settings.hub_token
    chat_folder = find_files(
        chat.source, patterns=CHAT_FILES, token=token, gate_hint=CHAT_GATE_HINT
    )
    chat_size = weigh(chat_folder)
    if chat_size.num_parameters == 0:
        raise StartError(f"LLM_MODEL_NAME={chat.source!r} has no weights (model*.safetensors).")
    check_chat_files(chat_folder, source=chat.source)
    voice_folder = find_files(choice.checkpoint.source, patterns=MODEL_FILES, token=token)
    voice_bytes = weigh(voice_folder).loaded_bytes(4 if choice.dtype == "float32" else 2)
    needs = (
        MemoryNeed(
            what="voice",
            weight_bytes=voice_bytes // settings.tts_tensor_parallel_size,
            gpu_share=choice.gpu_share,
            model_setting="TTS_MODEL_NAME",
            share_setting="TTS_GPU_MEMORY_UTILIZATION",
        ),
        MemoryNeed(
            what="language model",
            weight_bytes=chat_size.loaded_bytes(CHAT_FLOAT_BYTES),
            gpu_share=settings.llm_gpu_memory_utilization,
            model_setting="LLM_MODEL_NAME",
            share_setting="LLM_GPU_MEMORY_UTILIZATION",
        ),
    )
    if choice.is_cuda:
        import torch  # not at the top: seconds to import, while the port is to answer

        free_bytes, total_bytes = torch.cuda.mem_get_info(0)
        check_gpu(needs, total_bytes=total_bytes, free_bytes=free_bytes)
    else:
        check_ram(needs, available_bytes=psutil.virtual_memory().available)

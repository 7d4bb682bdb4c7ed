"""Checks that the voice and a language model fit into memory together, before either is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.errors import StartError

GIB = 1 << 30

CPU_KV_CACHE_BYTES = GIB
"""1 GiB holds 9,300 tokens of the 3B voice in bfloat16, and far more of a small voice."""

CPU_REST_BYTES = GIB
"""Memory of the processes of both engines, the codec and the requests on a CPU."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The memory of one model: its weights as loaded, on each device, and its share of a GPU.

    `model_setting` and `share_setting` name the settings to change if it does not fit.
    """

    label: str
    weight_bytes: int
    gpu_share: float
    model_setting: str
    share_setting: str


def check_shares(*, tts_share: float, llm_share: float) -> None:
    """Raises `StartError` if the shares add up to more than the GPU."""
    if tts_share + llm_share > 1.0 + 1e-9:
        raise StartError(
            f"TTS_GPU_MEMORY_UTILIZATION ({tts_share:g}) and LLM_GPU_MEMORY_UTILIZATION "
            f"({llm_share:g}) are {tts_share + llm_share:g} of the GPU together: lower one until "
            "they are at most 1."
        )


def check_gpu(needs: Sequence[MemoryNeed], *, total_bytes: int, free_bytes: int) -> None:
    """Raises `StartError` if weights exceed their share, or the shares exceed the free memory."""
    for need in needs:
        if need.weight_bytes > need.gpu_share * total_bytes:
            raise StartError(
                f"the weights of the {need.label} are {_gib(need.weight_bytes)}, but "
                f"{need.share_setting}={need.gpu_share:g} of the GPU's {_gib(total_bytes)} is only "
                f"{_gib(need.gpu_share * total_bytes)}: raise it, or set a smaller "
                f"{need.model_setting}."
            )
    needed_bytes = sum(need.gpu_share for need in needs) * total_bytes
    if free_bytes < needed_bytes:
        settings = " and ".join(f"{need.share_setting} ({need.gpu_share:g})" for need in needs)
        raise StartError(
            f"{settings} would reserve {_gib(needed_bytes)} of the GPU, but only "
            f"{_gib(free_bytes)} of {_gib(total_bytes)} are free: stop the other programs that "
            "use it, or set a smaller share."
        )


def check_ram(needs: Sequence[MemoryNeed], *, available_bytes: int) -> None:
    """Raises `StartError` if weights and caches exceed the free memory."""
    cache_bytes = len(needs) * CPU_KV_CACHE_BYTES
    needed_bytes = sum(need.weight_bytes for need in needs) + cache_bytes + CPU_REST_BYTES
    if needed_bytes > available_bytes:
        parts = ", ".join(f"{need.label} {_gib(need.weight_bytes)}" for need in needs)
        settings = " or ".join(need.model_setting for need in needs)
        raise StartError(
            f"{_gib(needed_bytes)} of memory are needed ({parts}, caches {_gib(cache_bytes)}, the "
            f"rest {_gib(CPU_REST_BYTES)}), but {_gib(available_bytes)} are free: set a smaller "
            f"{settings}, or run the language model elsewhere with LLM_BASE_URL."
        )


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f} GiB"

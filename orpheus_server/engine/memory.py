"""Whether the voice and a language model fit beside each other, told before either is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.errors import StartError

GIB = 1 << 30

CPU_KV_CACHE_BYTES = GIB
"""1 GiB: 9,300 tokens of the 3B voice in bfloat16, far more of a small one."""

CPU_REST_BYTES = GIB
"""What the processes of both engines, the codec and the requests take on CPU."""


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """One model: its weights as loaded, on each of its devices, and its share of a GPU.

    `model_setting` and `share_setting` are what to change when it does not fit.
    """

    label: str
    weight_bytes: int
    gpu_share: float
    model_setting: str
    share_setting: str


def check_shares(*, tts_share: float, llm_share: float) -> None:
    """Raises `StartError` for shares that are more than the GPU together."""
    if tts_share + llm_share > 1.0 + 1e-9:
        raise StartError(
            f"TTS_GPU_MEMORY_UTILIZATION ({tts_share:g}) and LLM_GPU_MEMORY_UTILIZATION "
            f"({llm_share:g}) are {tts_share + llm_share:g} of the GPU together: lower one until "
            "they are at most 1."
        )


def check_gpu(needs: Sequence[MemoryNeed], *, total_bytes: int, free_bytes: int) -> None:
    """Raises `StartError` if weights are larger than their share, or somebody else has the rest."""
    for need in needs:
        if need.weight_bytes > need.gpu_share * total_bytes:
            raise StartError(
                f"the weights of the {need.label} are {_gib(need.weight_bytes)}, and "
                f"{need.share_setting}={need.gpu_share:g} of the GPU's {_gib(total_bytes)} are "
                f"{_gib(need.gpu_share * total_bytes)}: raise it, or set a smaller "
                f"{need.model_setting}."
            )
    wanted = sum(need.gpu_share for need in needs) * total_bytes
    if free_bytes < wanted:
        settings = " and ".join(f"{need.share_setting} ({need.gpu_share:g})" for need in needs)
        raise StartError(
            f"{settings} want {_gib(wanted)} of the GPU, where only {_gib(free_bytes)} of "
            f"{_gib(total_bytes)} are free: something else uses it. End that, or lower them."
        )


def check_ram(needs: Sequence[MemoryNeed], *, available_bytes: int) -> None:
    """Raises `StartError` if weights and caches are more than the memory that is free."""
    cache_bytes = len(needs) * CPU_KV_CACHE_BYTES
    wanted = sum(need.weight_bytes for need in needs) + cache_bytes + CPU_REST_BYTES
    if wanted > available_bytes:
        parts = ", ".join(f"{need.label} {_gib(need.weight_bytes)}" for need in needs)
        settings = " or ".join(need.model_setting for need in needs)
        raise StartError(
            f"{_gib(wanted)} of memory are needed ({parts}, caches {_gib(cache_bytes)}, the rest "
            f"{_gib(CPU_REST_BYTES)}) and {_gib(available_bytes)} are free: set a smaller "
            f"{settings}, or run the language model elsewhere with LLM_BASE_URL."
        )


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f} GiB"

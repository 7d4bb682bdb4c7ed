"""Which models fit into memory together, and which settings the errors name if they do not."""

from dataclasses import replace

import pytest

from orpheus_server.engine.memory import GIB, MemoryNeed, check_gpu, check_ram, check_shares
from orpheus_server.errors import StartError

VOICE = MemoryNeed("voice", 6 * GIB, 0.35, "TTS_MODEL_NAME", "TTS_GPU_MEMORY_UTILIZATION")
CHAT = MemoryNeed("language model", 5 * GIB, 0.25, "LLM_MODEL_NAME", "LLM_GPU_MEMORY_UTILIZATION")


@pytest.mark.parametrize(("tts", "llm"), [(0.35, 0.25), (0.75, 0.25), (0.9, 0.1), (0.7, 0.3)])
def test_shares_that_fit(tts: float, llm: float) -> None:
    check_shares(tts_share=tts, llm_share=llm)


def test_shares_that_exceed_the_gpu() -> None:
    with pytest.raises(StartError) as caught:
        check_shares(tts_share=0.9, llm_share=0.25)
    assert str(caught.value) == (
        "TTS_GPU_MEMORY_UTILIZATION (0.9) and LLM_GPU_MEMORY_UTILIZATION (0.25) are 1.15 of the "
        "GPU together: lower one until they are at most 1."
    )


def test_a_gpu_with_enough_free_memory() -> None:
    check_gpu((VOICE, CHAT), total_bytes=24 * GIB, free_bytes=15 * GIB)


def test_weights_larger_than_their_share() -> None:
    with pytest.raises(StartError) as caught:
        check_gpu((VOICE, CHAT), total_bytes=16 * GIB, free_bytes=16 * GIB)
    assert str(caught.value) == (
        "the weights of the voice are 6.0 GiB, but TTS_GPU_MEMORY_UTILIZATION=0.35 of the GPU's "
        "16.0 GiB is only 5.6 GiB: raise it, or set a smaller TTS_MODEL_NAME."
    )
    small_voice = replace(VOICE, weight_bytes=GIB)
    with pytest.raises(StartError, match=r"language model .* LLM_GPU_MEMORY_UTILIZATION=0.25"):
        check_gpu((small_voice, CHAT), total_bytes=16 * GIB, free_bytes=16 * GIB)


def test_a_gpu_that_another_program_uses() -> None:
    with pytest.raises(StartError) as caught:
        check_gpu((VOICE, CHAT), total_bytes=24 * GIB, free_bytes=14 * GIB)
    assert str(caught.value) == (
        "TTS_GPU_MEMORY_UTILIZATION (0.35) and LLM_GPU_MEMORY_UTILIZATION (0.25) would reserve "
        "14.4 GiB of the GPU, but only 14.0 GiB of 24.0 GiB are free: stop the other programs that "
        "use it, or set a smaller share."
    )


def test_memory_without_a_gpu() -> None:
    # 6 + 5 GiB of weights, 1 GiB of cache each, 1 GiB for the rest.
    check_ram((VOICE, CHAT), available_bytes=14 * GIB)
    with pytest.raises(StartError) as caught:
        check_ram((VOICE, CHAT), available_bytes=14 * GIB - 1)
    assert str(caught.value) == (
        "14.0 GiB of memory are needed (voice 6.0 GiB, language model 5.0 GiB, caches 2.0 GiB, "
        "the rest 1.0 GiB), but 14.0 GiB are free: set a smaller TTS_MODEL_NAME or LLM_MODEL_NAME, "
        "or run the language model elsewhere with LLM_BASE_URL."
    )
